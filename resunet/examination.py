"""The files of one patient: which sequence each is, sorted once for the command line, the screens and evaluations.

Files come from a folder, an archive or a visitor. Names tell NIfTI files apart, headers DICOM series, numbers the slices of
the LGG set. Folders belong to a patient's name: files of equal names in two folders are two patients'.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from resunet.errors import InputError
from resunet.reading.channels import assemble, truth_on
from resunet.reading.formats.dicom import looks_like_dicom
from resunet.reading.formats.nifti import looks_like_nifti
from resunet.reading.names import MASK, NUMBERED, PROBABILITY, is_litter, stem_of
from resunet.reading.scan import BoolMask, Scan, mask_of
from resunet.reading.sequences import ROLES, WHAT_IS_MASKED, WORDS, NameReading, Role, SequenceName, read_name
from resunet.reading.stack import stacked
from resunet.reading.stored_file import Decoder, LocalDecoder, StoredFile
from resunet.reading.volume_scan import Volume

Kind = Literal["nifti", "dicom", "slices", "picture"]
IMAGE_FOLDERS = {"images", "imagestr", "imagests"}
MASK_FOLDERS = {"masks", "labels", "labelstr", "labelsts"}
SIGNATURE = 132  # bytes that tell the formats apart
LAYOUT = (
    "<case>_flair.nii.gz beside <case>_mask.nii.gz (or _seg), <case>_t1 and <case>_t1ce where there are any, or images/ and "
    "masks/ with equal names"
)
ASK = "if one of them is, name it with --case flair=FILE"
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

    def volume(self, decoder: Decoder) -> Volume:
        """Its voxels, for all kinds but pictures. Raises InputError."""
        if self.kind == "dicom":
            return decoder.read_series({file.path.name: file.read() for file in self.files}, self.name)
        if self.kind == "slices":
            scans = [decoder.read(file.read(), file.path.name) for file in self.files]
            return stacked(self.reading.case, scans, [number_of(file) for file in self.files])
        return decoder.read_volume(self.files[0].read(), self.files[0].path.name)


@dataclass(frozen=True)
class Examination:
    """One patient's sequences, and the true mask where there is one.

    Attributes:
        name: unlike that of any other examination sorted with it.
        sequences: by what they are; a picture counts as FLAIR.
        truth: a NIfTI file, or as many masks as there are slices.
        problem: a sentence where the files do not say enough; nothing can be read then.
        notes: sentences on what was left out.
    """

    name: str
    sequences: Mapping[Role, Source] = field(default_factory=dict)
    truth: Source | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> Source:
        """FLAIR, else contrast-enhanced T1, else the first source there is."""
        known = self.sequences.get("flair") or self.sequences.get("post")
        return known or next(iter(self.sequences.values()), None) or self.truth  # type: ignore[return-value]

    @property
    def files(self) -> list[StoredFile]:
        """All files but the truth's, FLAIR's first."""
        others = [source for source in self.sequences.values() if source is not self.main]
        return [file for source in (self.main, *others) for file in source.files]

    @property
    def is_volume(self) -> bool:
        """Whether its slices are neighbours, so that the volume model outlines it and the mask lies on its grid."""
        return self.main.kind != "picture"

    @property
    def key(self) -> tuple[str, ...]:
        """Equal keys mean equal voxels."""
        return tuple(f"{role} {file.digest}" for role, source in self.sequences.items() for file in source.files)

    def volume(self, decoder: Decoder = LOCAL) -> Volume:
        """(I, J, K, 3) on FLAIR's grid, or contrast-enhanced T1 three times where there is no FLAIR. Raises InputError."""
        if self.problem:
            raise InputError(self.problem)
        volume = assemble(self.name, {role: source.volume(decoder) for role, source in self.sequences.items()})
        return replace(volume, notes=(*volume.notes, *self.notes))

    def scan(self, decoder: Decoder = LOCAL) -> Scan:
        """The slices of a picture. Raises InputError."""
        return decoder.read(self.main.files[0].read(), self.main.files[0].path.name)

    def true_mask(self, volume: Volume, decoder: Decoder = LOCAL) -> BoolMask:
        """The true mask as axial slices (D, H, W). Raises InputError where it does not lie on the volume's grid."""
        if self.truth is None:
            raise InputError(f"{self.name} has no mask; {LAYOUT} are expected.")
        if self.truth.kind == "slices":
            masks = [mask_of(decoder.read(file.read(), file.path.name)) for file in self.truth.files]
            if len({mask.shape for mask in masks} | {volume.axial_shape[1:]}) > 1 or len(masks) != volume.axial_depth:
                raise InputError("The masks differ in size from the slices; give those of the same patient.")
            return np.stack(masks)
        return truth_on(volume, self.truth.volume(decoder))


def sort_examinations(files: Iterable[StoredFile], decoder: Decoder = LOCAL) -> list[Examination]:
    """The examinations that files belong to, in the order of their first files.

    Raises InputError where a DICOM file cannot be read.
    """
    files = list(files)
    sources = find_sources(files, decoder)
    examinations = [*_of_names(sources, _channel_names(files)), *_of_headers(sources)]
    for source in sources:
        if source.kind in ("slices", "picture"):
            examinations.append(Examination(source.reading.case, {"flair": source}, truth_of_slices(source, files)))
    order = {file.name: position for position, file in enumerate(files)}
    return _distinctly_named(sorted(examinations, key=lambda examination: order[examination.main.files[0].name]))


def find_sources(files: Sequence[StoredFile], decoder: Decoder = LOCAL, one_patient: bool = False) -> list[Source]:
    """The sequences among files, by kind.

    Args:
        one_patient: whether numbered slices belong together wherever they lie; elsewhere only in a folder of their name.
    """
    files = [file for file in files if not is_litter(file.path) and file.path.name != CHANNEL_LIST]
    starts = {file.name: _start(file) for file in files if not _is_nifti_name(file)}
    nifti = [file for file in files if _is_nifti_name(file) or looks_like_nifti(starts[file.name])]
    nifti_names = {file.name for file in nifti}
    dicom = [file for file in files if file.name not in nifti_names and looks_like_dicom(starts[file.name])]
    series = _find_series(dicom, decoder)
    taken = nifti_names | {file.name for source in series for file in source.files}
    others = [file for file in files if file.name not in taken]
    stacks = _find_stacks(others, one_patient)
    stacked_names = {file.name for source in stacks for file in source.files}
    sources = [_nifti_source(file) for file in nifti if not stem_of(file.path.name).endswith(PROBABILITY)]
    pictures = [
        Source("picture", (file,), file.path.parent, NameReading(stem_of(file.path.name)))
        for file in others
        if file.name not in stacked_names and not (one_patient and stacks)
    ]
    return [*sources, *series, *stacks, *pictures]


def _start(file: StoredFile) -> bytes:
    """Its first bytes; nothing of a file that cannot be read, which is said when it is its turn."""
    try:
        return file.read(SIGNATURE)
    except InputError:
        return b""


def _is_nifti_name(file: StoredFile) -> bool:
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
        return Source("nifti", (file,), place.parent, reading._replace(sequence=above.sequence, case=""))
    return Source("nifti", (file,), place, reading)


def _find_series(files: Sequence[StoredFile], decoder: Decoder) -> list[Source]:
    """Series of several slices; two folders that hold the same series hold two patients or two copies."""
    folders: dict[PurePosixPath, dict[str, StoredFile]] = {}
    for file in files:
        folders.setdefault(file.path.parent, {})[file.path.name] = file
    sources = []
    for folder, by_name in folders.items():
        for series in decoder.find_series({name: file.read() for name, file in by_name.items()}):
            if len(series.files) > 1 or series.frames > 1:
                members = tuple(by_name[name] for name in series.files)
                reading = NameReading("", series.sequence)
                slices = max(len(members), series.frames)
                sources.append(Source("dicom", members, folder, reading, series.description, series.study, slices))
    repeated = Counter((source.study, source.description, source.slices, _first_name(source)) for source in sources)
    return [
        replace(source, study=f"{source.place.parent}/{source.study}")
        if repeated[source.study, source.description, source.slices, _first_name(source)] > 1
        else source
        for source in sources
    ]


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
        match = None if stem.endswith(MASK) else NUMBERED.match(stem)
        if match and (one_patient or file.path.parent.name == match["patient"]):
            patients.setdefault((file.path.parent, match["patient"]), []).append(file)
    return [
        Source(
            "slices",
            tuple(sorted(slices, key=number_of)),
            folder,
            NameReading(patient, "flair"),
            slices=len(slices),
        )
        for (folder, patient), slices in patients.items()
        if len(slices) > 1 or one_patient
    ]


def truth_of_slices(source: Source, files: Sequence[StoredFile]) -> Source | None:
    """The masks beside numbered slices, where each has one."""
    if source.kind != "slices":
        return None
    by_place = {(file.path.parent, stem_of(file.path.name)): file for file in files}
    masks = [by_place.get((file.path.parent, stem_of(file.path.name) + MASK)) for file in source.files]
    true_masks = tuple(mask for mask in masks if mask is not None)
    return replace(source, files=true_masks) if len(true_masks) == len(masks) else None


def _of_names(
    sources: Sequence[Source], channel_names: Mapping[PurePosixPath, Mapping[int, SequenceName]]
) -> list[Examination]:
    """The examinations of NIfTI files."""
    cases: dict[tuple[PurePosixPath, str], list[Source]] = {}
    for source in sources:
        if source.kind == "nifti":
            cases.setdefault((source.place, source.reading.case), []).append(source)
    _merge_series_numbers(cases)
    _merge_masks(cases)
    examinations = []
    for (place, case), members in cases.items():
        named = [_with_channel_name(source, members, channel_names.get(place, {})) for source in members]
        for repeat, group in _repeats(named).items():
            words = "_".join(filter(None, (case or place.name, repeat)))
            examinations.append(_examination(words, group))
    return examinations


def _merge_series_numbers(cases: dict[tuple[PurePosixPath, str], list[Source]]) -> None:
    """Make one case of files such as 3_T1 and 5_FLAIR: where each number has one file of another sequence, it counts series."""
    places: dict[PurePosixPath, list[str]] = {}
    for place, case in cases:
        if re.fullmatch(r"\d{1,4}", case):
            places.setdefault(place, []).append(case)
    for place, numbers in places.items():
        members = [source for number in numbers for source in cases[place, number]]
        sequences = [source.reading.sequence for source in members]
        if len(numbers) == len(members) > 1 and None not in sequences and len(set(sequences)) == len(sequences):
            for number in numbers:
                del cases[place, number]
            cases.setdefault((place, ""), []).extend(members)


def _merge_masks(cases: dict[tuple[PurePosixPath, str], list[Source]]) -> None:
    """Give a mask that is named after what it outlines, as x_tumour_seg, to the case x, where no x_tumour is imaged."""
    for place, case in list(cases):
        shorter = WHAT_IS_MASKED.sub("", case)
        members = cases[place, case]
        if shorter != case and (place, shorter) in cases and all(source.reading.is_mask for source in members):
            cases[place, shorter] += cases.pop((place, case))


def _with_channel_name(source: Source, members: Sequence[Source], names: Mapping[int, SequenceName]) -> Source:
    """nnU-Net's number replaced by the sequence that the data set says it is; a case of one channel is a FLAIR."""
    channel = source.reading.channel
    if channel is None:
        return source
    several = sum(other.reading.channel is not None for other in members) > 1
    sequence = names.get(channel) if several else names.get(channel, "flair")
    return replace(source, reading=source.reading._replace(sequence=sequence))


def _channel_names(files: Sequence[StoredFile]) -> dict[PurePosixPath, dict[int, SequenceName]]:
    """What nnU-Net's dataset.json says about its channels, by folder."""
    names: dict[PurePosixPath, dict[int, SequenceName]] = {}
    for file in files:
        if file.path.name == CHANNEL_LIST:
            try:
                content = json.loads(file.read())
                channels = content.get("channel_names") or content.get("modality") or {}
                read = {int(number): read_name(str(words).replace(" ", "_")).sequence for number, words in channels.items()}
            except (ValueError, AttributeError, UnicodeDecodeError):
                continue
            names[file.path.parent] = {number: sequence for number, sequence in read.items() if sequence}
    return names


def _repeats(members: Sequence[Source]) -> dict[str, list[Source]]:
    """The files of a case in one group; in several, by what their names say beside it, where a sequence is there twice.

    Files that say nothing but the case's name, as a.nii and a.nii.gz, are one group each.
    """
    if len(members) > 1 and all(_is_silent(source) for source in members):
        return {str(number): [source] for number, source in enumerate(members)}
    claims = Counter(_claim(source) for source in members)
    if max(claims.values()) == 1 or not any(source.reading.repeat for source in members):
        return {"": list(members)}
    groups: dict[str, list[Source]] = {}
    for source in members:
        groups.setdefault(source.reading.repeat, []).append(source)
    return groups


def _is_silent(source: Source) -> bool:
    reading = source.reading
    return reading.sequence is None and reading.channel is None and not reading.is_mask


def _claim(source: Source) -> str:
    """What a NIfTI file says to be: a sequence, the mask or a channel; without a word it is the FLAIR."""
    reading = source.reading
    if reading.is_mask:
        return "mask"
    return reading.sequence or ("flair" if reading.channel is None else f"channel {reading.channel}")


def _examination(name: str, members: Sequence[Source]) -> Examination:
    """Of the NIfTI files of one case."""
    by_claim: dict[str, Source] = {}
    problem = ""
    for source in members:
        claim = _claim(source)
        if claim in by_claim and claim not in ("other", "t2"):
            what = WORDS.get(claim, claim)  # type: ignore[call-overload]
            problem = f"{by_claim[claim].name} and {source.name} are both the {what} of {name}; assign them with --case."
        by_claim.setdefault(claim, source)
    sequences: dict[Role, Source] = {role: by_claim[role] for role in ROLES if role in by_claim}
    others = [source for claim, source in by_claim.items() if claim not in (*ROLES, "mask")]
    if len(members) == 1:
        name = stem_of(members[0].files[0].path.name)
    if "flair" not in sequences and "post" in sequences:
        left_out = [source.name for source in (*sequences.values(), *others) if source is not sequences["post"]]
        return Examination(name, {"post": sequences["post"]}, by_claim.get("mask"), problem, _left_out(left_out))
    if "flair" not in sequences:
        problem = problem or _no_flair([*sequences.values(), *others], by_claim.get("mask"))
        sequences = sequences or ({"flair": others[0]} if others else {})
    return Examination(name, sequences, by_claim.get("mask"), problem)


def _left_out(names: Sequence[str]) -> tuple[str, ...]:
    return (f"Left out, since they are no channels of the networks: {', '.join(names)}.",) if names else ()


def _no_flair(sources: Sequence[Source], mask: Source | None) -> str:
    """The sentence for a case without FLAIR."""
    if not sources:
        return f"{mask.name if mask else 'The file'} is a mask by its name, and there is no image beside it."
    names = [source.name for source in sources]
    if all(source.reading.channel is not None for source in sources):
        return f"{', '.join(names)} are channels of one case, and their names do not say which is the FLAIR; {ASK}."
    if len(sources) == 1:
        return _not_flair(sources[0])
    return f"None of {', '.join(names)} is the FLAIR, which the networks need; {ASK}."


def _not_flair(source: Source) -> str:
    is_one = f"is {WORDS[source.reading.sequence]}" if source.reading.sequence else "is not FLAIR"
    origin = "description" if source.kind == "dicom" else "name"
    return f"{source.name} {is_one} by its {origin}, and the networks need FLAIR; if it is one, name it with --case flair=FILE."


def _of_headers(sources: Sequence[Source]) -> list[Examination]:
    """The examinations of DICOM series: one per FLAIR of a study, or, without a FLAIR, one per series that says nothing."""
    studies: dict[str, list[Source]] = {}
    for source in sources:
        if source.kind == "dicom":
            studies.setdefault(source.study or source.place.as_posix(), []).append(source)
    examinations = []
    for study in studies.values():
        mains = [source for source in study if source.reading.sequence == "flair"]
        silent = [source for source in study if source.reading.sequence is None]
        examinations += [of_series(source, study) for source in mains or silent]
        others = [source for source in study if source not in silent]
        enhanced = [source for source in others if source.reading.sequence == "post"]
        if not mains and enhanced:
            examinations.append(of_series(max(enhanced, key=lambda source: source.slices), study))
        elif not mains and others:
            name = _series_name(others)
            examinations.append(Examination(name, {"flair": others[0]}, problem=_no_flair(others, None)))
    in_folder = Counter((examination.name, examination.main.place) for examination in examinations)
    return [
        replace(examination, name=f"{examination.name}_{words}")
        if in_folder[examination.name, examination.main.place] > 1 and (words := _words_of(examination.main))
        else examination
        for examination in examinations
    ]


def of_series(source: Source, study: Sequence[Source]) -> Examination:
    """A series as FLAIR, with the T1 series of its study as channels; contrast-enhanced T1 alone; of others, the problem."""
    others = [other for other in study if other is not source and other.reading.sequence != "flair"]
    if source.reading.sequence is None:
        return Examination(_series_name([source]), {"flair": source})
    if source.reading.sequence == "post":
        return Examination(_series_name([source]), {"post": source}, notes=_left_out([other.name for other in others]))
    if source.reading.sequence != "flair":
        return Examination(_series_name([source]), {"flair": source}, problem=_no_flair([source], None))
    channels = _channels_beside(source, others)
    notes = _left_out([other.name for other in others if other not in channels.values()])
    name = _series_name([source, *channels.values()])
    return Examination(name, {"flair": source, **channels}, notes=notes)


def _channels_beside(flair: Source, study: Sequence[Source]) -> dict[Role, Source]:
    """The T1 series of a study that has the number of slices nearest to FLAIR's, before and after contrast."""
    channels: dict[Role, Source] = {}
    for role in ("pre", "post"):
        candidates = [source for source in study if source.reading.sequence == role]
        if candidates:
            channels[role] = min(candidates, key=lambda source: abs(source.slices - flair.slices))  # type: ignore[index]
    return channels


def _series_name(used: Sequence[Source]) -> str:
    """The folder of a series, or of all series of a case; of a single file its name."""
    if len(used[0].files) == 1:
        return stem_of(used[0].files[0].path.name)
    folder = PurePosixPath(os.path.commonpath([str(source.place) for source in used]))
    return folder.name or _words_of(used[0]) or "series"


def _words_of(source: Source) -> str:
    return "_".join(re.findall(r"\w+", source.description))


def _distinctly_named(examinations: Sequence[Examination]) -> list[Examination]:
    """The same with names of their own: the file's, or with as many folders in front as tell them apart."""
    groups: dict[str, list[int]] = {}
    for position, examination in enumerate(examinations):
        groups.setdefault(examination.name.casefold(), []).append(position)
    named = list(examinations)
    for positions in groups.values():
        if len(positions) > 1:
            for position, name in zip(positions, _with_folders([examinations[one] for one in positions]), strict=True):
                named[position] = replace(examinations[position], name=name)
    return named


def _with_folders(examinations: Sequence[Examination]) -> list[str]:
    files = [examination.main.files[0].path for examination in examinations]
    names = [file.name for file in files]
    if len({name.casefold() for name in names}) == len(names):
        return names
    names = [examination.name for examination in examinations]
    places = [
        examination.main.place.parent if examination.main.place.name == examination.name else examination.main.place
        for examination in examinations
    ]
    deepest = max(len(place.parts) for place in places)
    for depth in range(1, deepest + 1):
        longer = ["/".join((*place.parts[-depth:], name)).lstrip("/") for place, name in zip(places, names, strict=True)]
        if len({name.casefold() for name in longer}) == len(longer):
            return longer
    return [f"{name}_{number}" for number, name in enumerate(names, start=1)]


def measurable_volumes(files: Iterable[StoredFile], decoder: Decoder = LOCAL) -> tuple[list[Examination], list[str]]:
    """The NIfTI volumes with true masks among files, and sentences on the images without mask and the masks without image.

    None where there is no such volume, or where the first is a single slice. Raises InputError where it cannot be read.
    """
    nifti = sorted((file for file in files if _is_nifti_name(file)), key=lambda file: file.name)
    examinations = sort_examinations(nifti, decoder)
    measurable = [examination for examination in examinations if examination.truth and examination.sequences]
    if not measurable or min(measurable[0].main.volume(decoder).shape) == 1:
        return [], []
    without_mask = [examination.name for examination in examinations if examination.truth is None]
    without_image = [examination.name for examination in examinations if not examination.sequences]
    notes = []
    for names, why in ((without_mask, "without a mask"), (without_image, "a mask without an image")):
        if names:
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            notes.append(f"Left out, {why}: {', '.join(names[:3])}{more}.")
    return measurable, notes


def nifti_below(folder: Path) -> list[StoredFile]:
    """All NIfTI files below a folder, by name."""
    return [StoredFile.on_disk(path) for path in sorted(folder.rglob("*.nii*")) if path.is_file()]
