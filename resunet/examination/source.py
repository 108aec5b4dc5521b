"""One sequence of a patient, in whatever files it lies, and finding the sequences among files.

Names tell NIfTI files apart, headers DICOM series, numbers the slices of the LGG set.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from resunet.errors import InputError
from resunet.reading.formats.dicom import looks_like_dicom
from resunet.reading.formats.nifti import looks_like_nifti
from resunet.reading.formats.series import Series
from resunet.reading.names import LITTER, MASK_SUFFIX, NUMBERED, PROBABILITY_SUFFIX, is_litter, stem_of
from resunet.reading.sequences import NameReading, read_name
from resunet.reading.stack import stacked
from resunet.reading.stored_file import Decoder, LocalDecoder, StoredFile
from resunet.reading.volume_scan import Volume

Kind = Literal["nifti", "dicom", "slices", "picture"]
IMAGE_FOLDERS = {"images", "imagestr", "imagests"}
MASK_FOLDERS = {"masks", "labels", "labelstr", "labelsts"}
SIGNATURE = 132  # bytes that tell the formats apart
OF_LGG_SET = re.compile(r"TCGA_\w{2}_\w{4}_\d{8}")  # how its patients are called, whose slices have a FLAIR
CHANNEL_LIST = "dataset.json"  # what nnU-Net calls its account of a data set
LOCAL = LocalDecoder()


@dataclass(frozen=True)
class Source:
    """The files of one sequence: a NIfTI file, a DICOM series, numbered slices from foot to head, or a single picture.

    Attributes:
        place: the folder that the patient's files lie in.
        reading: what name or header say.
        description: of a series, as its files state it.
        study: of a series; series of one study are one examination's.
        slices: how many a series or a stack has; 1 elsewhere.
    """

    kind: Kind
    files: tuple[StoredFile, ...]
    place: PurePosixPath
    reading: NameReading
    description: str = ""
    study: str = ""
    slices: int = 1

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.description or self.files[0].path.name

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of its files by name, with folders where files of two have the same."""
        names = {file.path.name for file in self.files}
        return {file.path.name if len(names) == len(self.files) else file.name: file.read() for file in self.files}

    def volume(self, decoder: Decoder) -> Volume:
        """Its voxels, for all kinds but pictures. Raises InputError."""
        if self.kind == "dicom":
            return decoder.read_series(self.contents, self.name)
        if self.kind == "slices":
            scans = [decoder.read(file.read(), file.path.name) for file in self.files]
            return stacked(self.reading.case, scans, [number_of(file) for file in self.files])
        return decoder.read_volume(self.files[0].read(), self.files[0].path.name)


def find_sources(files: Sequence[StoredFile], decoder: Decoder = LOCAL, one_patient: bool = False) -> list[Source]:
    """The sequences among files, by kind.

    Args:
        one_patient: whether numbered slices belong together wherever they lie; elsewhere only in a folder of their name.
    """
    files = [file for file in files if not _is_litter(file) and file.path.name != CHANNEL_LIST]
    starts = {file.name: _start(file) for file in files if not is_nifti_name(file)}
    nifti = [file for file in files if is_nifti_name(file) or looks_like_nifti(starts[file.name])]
    nifti_names = {file.name for file in nifti}
    dicom = [file for file in files if file.name not in nifti_names and looks_like_dicom(starts[file.name])]
    series = _find_series(dicom, decoder)
    taken = nifti_names | {file.name for source in series for file in source.files}
    others = [file for file in files if file.name not in taken]
    stacks = _find_stacks(others, one_patient)
    stacked_names = {file.name for source in stacks for file in source.files}
    sources = [_nifti_source(file) for file in nifti if not stem_of(file.path.name).endswith(PROBABILITY_SUFFIX)]
    pictures = [
        Source("picture", (file,), file.path.parent, NameReading(stem_of(file.path.name)))
        for file in others
        if file.name not in stacked_names and not (one_patient and stacks)
    ]
    return [*sources, *series, *stacks, *pictures]


def _is_litter(file: StoredFile) -> bool:
    """Whether an operating system put it there; that a folder above is hidden says nothing."""
    return is_litter(PurePosixPath(file.path.name)) or not LITTER.isdisjoint(file.path.parts)


def _start(file: StoredFile) -> bytes:
    """Its first bytes; nothing of a file that cannot be read, which is said when it is its turn."""
    try:
        return file.read(SIGNATURE)
    except InputError:
        return b""


def is_nifti_name(file: StoredFile) -> bool:
    return file.path.name.lower().endswith((".nii", ".nii.gz"))


def _nifti_source(file: StoredFile) -> Source:
    """Folders may say what a name does not: images/ and masks/, or one folder per sequence."""
    reading = read_name(file.path.name)
    place = file.path.parent
    folder = place.name.lower()
    if folder in MASK_FOLDERS:
        return Source("nifti", (file,), place.parent, reading._replace(sequence=None, is_mask=True, channel=None))
    if folder in IMAGE_FOLDERS:
        return Source("nifti", (file,), place.parent, reading)
    above = read_name(place.name) if place.name else NameReading("-")
    if not above.case and not reading.is_mask and above.sequence and reading.sequence in (None, above.sequence):
        return Source("nifti", (file,), place.parent, reading._replace(sequence=above.sequence))
    return Source("nifti", (file,), place, reading)


def _find_series(files: Sequence[StoredFile], decoder: Decoder) -> list[Source]:
    """Series of several slices, in one folder or spread over several; two folders of equal files are two patients or copies."""
    folders: dict[PurePosixPath, dict[str, StoredFile]] = {}
    for file in files:
        folders.setdefault(file.path.parent, {})[file.path.name] = file
    parts: dict[tuple[str, ...], list[_Part]] = {}
    for folder, by_name in folders.items():
        for series in decoder.find_series({name: file.read() for name, file in by_name.items()}):
            members = tuple(by_name[name] for name in series.files)
            key = (series.uid,) if series.uid else (str(folder), str(len(parts)))
            parts.setdefault(key, []).append(_Part(folder, members, series))
    sources = []
    for place, members, series in (one for same in parts.values() for one in _joined(same)):
        if len(members) > 1 or series.frames > 1:
            reading = NameReading("", series.sequence)
            slices = max(len(members), series.frames)
            sources.append(Source("dicom", members, place, reading, series.description, series.study, slices))
    repeated = Counter((source.study, source.description, source.slices, _first_name(source)) for source in sources)
    return [
        replace(source, study=f"{source.place.parent}/{source.study}")
        if repeated[source.study, source.description, source.slices, _first_name(source)] > 1
        else source
        for source in sources
    ]


class _Part(NamedTuple):
    """What one folder holds of a series."""

    place: PurePosixPath
    files: tuple[StoredFile, ...]
    series: Series


def _joined(parts: Sequence[_Part]) -> Sequence[_Part]:
    """The parts of a series as one, below the folder that holds them all, unless two of them hold the same slice."""
    instances = [uid for part in parts for uid in part.series.instances]
    files = tuple(file for part in parts for file in part.files)
    if len(parts) == 1 or len(set(instances)) < len(files):
        return parts
    place = PurePosixPath(os.path.commonpath([str(part.place) for part in parts]))
    return [_Part(place, files, parts[0].series)]


def _first_name(source: Source) -> str:
    return source.files[0].path.name


def number_of(file: StoredFile) -> int:
    """Of a slice, as its name says; 0 where it does not."""
    match = NUMBERED.match(stem_of(file.path.name))
    return int(match["number"]) if match else 0


def _find_stacks(files: Sequence[StoredFile], one_patient: bool) -> list[Source]:
    """Folders of the LGG set: a patient's numbered slices, from foot to head."""
    patients: dict[tuple[PurePosixPath, str], list[StoredFile]] = {}
    for file in files:
        stem = stem_of(file.path.name)
        match = None if stem.endswith(MASK_SUFFIX) else NUMBERED.match(stem)
        if match and (one_patient or file.path.parent.name == match["patient"]):
            patients.setdefault((file.path.parent, match["patient"]), []).append(file)
    return [
        Source(
            "slices",
            tuple(sorted(slices, key=number_of)),
            folder,
            NameReading(patient, "flair" if OF_LGG_SET.fullmatch(patient) else read_name(f"{patient}.png").sequence),
            slices=len(slices),
        )
        for (folder, patient), slices in patients.items()
        if len(slices) > 1 or one_patient
    ]
