"""Image files and examinations in, mask files out."""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from resunet.catalogue import FLAGSHIP, VOLUME_MODEL
from resunet.data.archive import files_in
from resunet.errors import InputError
from resunet.examination import CHANNEL_LIST, SIGNATURE, Examination, find_sources, sort_examinations
from resunet.files import encode_mask, write_together
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.predict_volumes import segment_case, without_segmentation
from resunet.inference.shards import Shard
from resunet.inference.triage import check_modality, triage_scan, triage_volume
from resunet.inference.verdict import ScanSummary, not_judged
from resunet.reading.formats.dicom import looks_like_dicom
from resunet.reading.names import MASK_SUFFIX, PROBABILITY_SUFFIX, has_image_ending, is_litter, may_be_image, stem_of
from resunet.reading.scan import Scan
from resunet.reading.sequences import Role, SequenceName, read_name
from resunet.reading.stored_file import StoredFile
from resunet.reading.volume_scan import Volume


@dataclass(frozen=True)
class Choices:
    """What the command line asks for; None keeps what validation chose.

    Attributes:
        png, probability: write more files of a volume.
        resume: leave out what has its mask already.
        asked: what the person says that the files show, whatever they look like.
    """

    threshold: float | None = None
    gate: float | None = None
    tta: bool = False
    png: bool = False
    probability: bool = False
    resume: bool = False
    asked: SequenceName | None = None


def predict_files(images: Sequence[Path], out: Path, model: str | None, choices: Choices) -> Iterator[dict[str, Any]]:
    """Segment files, those in folders and zip files among them, one by one, as results are asked for.

    Gives the result for each file or examination, or the file and its error.

    A single slice gives <stem>_mask.png, slice n of a stack <stem>_<n>_mask.png, at the input's size, 0 or 255. A NIfTI file,
    and several whose names say that they are sequences of one case, give <stem>_mask.nii.gz on the grid of the (FLAIR)
    file; a DICOM series gives <folder>_mask.dcm, a DICOM SEG; a patient's folder of the LGG set <patient>_mask.nii.gz.

    Raises:
        InputError: before anything is written, where two results would have one name, or one the name of a file that lies
            beside the inputs.
    """
    files: list[StoredFile] = []
    problems: dict[Path, InputError] = {}
    for path in images:
        try:
            files += image_files([path])
        except InputError as error:
            problems[path] = error
    if problems and len(images) == 1:
        raise problems[images[0]]
    yield from ({"file": str(path), "error": str(error)} for path, error in problems.items())
    yield from _predict(sort_examinations(list({file.name: file for file in files}.values())), out, model, choices)


def predict_case(roles: Mapping[Role, Path], out: Path, model: str | None, choices: Choices) -> Iterator[dict[str, Any]]:
    """`predict_files` for one case whose files, or folders of a DICOM series, are given by role. Raises InputError."""
    if "flair" not in roles:
        raise InputError("A case needs its FLAIR; add flair=FILE.")
    sequences = {}
    for role, path in roles.items():
        sources = find_sources(image_files([path]), one_patient=True)
        if len(sources) != 1 or sources[0].kind == "picture":
            raise InputError(f"{path} must be one NIfTI file, or a folder of one DICOM series.")
        sequences[role] = replace(sources[0], reading=sources[0].reading._replace(sequence=role))  # whatever its name says
    flair = sequences["flair"]
    name = flair.place.name if flair.kind == "dicom" else read_name(roles["flair"].name).case or stem_of(roles["flair"].name)
    yield from _predict([Examination(name, sequences)], out, model, choices)


def image_files(paths: Sequence[Path]) -> list[StoredFile]:
    """The files named, and the images in the folders and zip files named; of folders without images, those below them.

    Pictures on top do not hide an examination below. In folders and zip files, masks and this package's probability maps are
    left out. Raises InputError.
    """
    files: list[StoredFile] = []
    for path in paths:
        if path.is_dir():
            inside = _in_folder(path)
            if not any(file.path.name != CHANNEL_LIST for file in inside):
                raise InputError(f"The folder {path} holds no image file.")
        elif path.suffix.lower() == ".zip":
            inside = _in_zip(path)
        elif path.exists() and not path.is_file():
            raise InputError(f"{path} is neither a file nor a folder.")
        else:
            inside = [StoredFile.on_disk(path)]
        files += inside
    return list({file.name: file for file in files}.values())


def _in_folder(folder: Path) -> list[StoredFile]:
    def images(paths: Iterable[Path]) -> list[StoredFile]:
        inside = [path for path in sorted(paths) if path.is_file() and not is_litter(PurePosixPath(path.relative_to(folder)))]
        return _images(map(StoredFile.on_disk, inside))

    top = images(folder.iterdir())
    if any(map(_is_of_examination, top)):
        return top
    below = images(folder.rglob("*"))
    only_pictures = any(file.path.name != CHANNEL_LIST for file in top)
    return top if only_pictures and not any(map(_is_of_examination, below)) else below


def _in_zip(path: Path) -> list[StoredFile]:
    try:
        inside = files_in(StoredFile.on_disk(path).read())
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    images = _images(file.below(path) for file in inside if not is_litter(PurePosixPath(file.name)))
    if not images:
        raise InputError(f"{path} holds no image file; zip the folder that holds the images.")
    return images


def _is_of_examination(file: StoredFile) -> bool:
    """Whether it is NIfTI by its name or DICOM by its content, and no picture."""
    return file.path.name.lower().endswith((".nii", ".nii.gz")) or looks_like_dicom(file.read(SIGNATURE))


def _images(files: Iterable[StoredFile]) -> list[StoredFile]:
    """Those that are images by their names, or DICOM by their content, and no results; with nnU-Net's list of channels."""
    return [file for file in files if file.path.name == CHANNEL_LIST or _is_image(file)]


def _is_image(file: StoredFile) -> bool:
    name = file.path.name
    if not may_be_image(name) or name.upper() == "DICOMDIR":
        return False
    if stem_of(name).endswith((MASK_SUFFIX, PROBABILITY_SUFFIX)):
        return False
    return has_image_ending(name) or looks_like_dicom(file.read(SIGNATURE))


def _predict(examinations: Sequence[Examination], out: Path, model: str | None, choices: Choices) -> Iterator[dict[str, Any]]:
    outputs = Outputs(examinations, out, choices)
    load = cache(partial(load_pipeline, choices=choices))  # a model when it is first needed
    examinations = Shard.of_launcher().of(examinations)
    with ThreadPoolExecutor(1) as readers:
        for examination in examinations:
            if choices.resume and outputs.has(examination):
                continue
            started = time.perf_counter()
            if choices.asked:
                examination = examination.ignoring_stated_sequence()
            read: Callable[[], Volume | Scan] = examination.volume if examination.is_volume else examination.scan
            reading = readers.submit(read)  # while the models load
            load(model or (VOLUME_MODEL if examination.is_volume else FLAGSHIP))
            names = [file.name for file in examination.files]
            try:
                content = _segment(load, model, reading.result(), examination, outputs, choices)
            except InputError as error:
                yield {"file": names[0], "error": str(error)}
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                yield {"file": names[0], "error": f"{names[0]} has too long a name for that of its mask; shorten it."}
            else:
                files = {"files": names} if len(names) > 1 else {}
                yield {"file": names[0], **files, **content, "seconds": round(time.perf_counter() - started, 4)}


def load_pipeline(model: str, choices: Choices) -> TumourPipeline:
    """Both stages with what was chosen otherwise. Raises InputError."""
    pipeline = TumourPipeline.load(model)
    pipeline.threshold = pipeline.threshold if choices.threshold is None else choices.threshold
    pipeline.gate = pipeline.gate if choices.gate is None else choices.gate
    return pipeline


@dataclass
class Outputs:
    """Names of the masks, settled before the first is written.

    Attributes:
        stems: by the name of an examination, what the names of its masks start with.
    """

    examinations: Sequence[Examination]
    out: Path
    choices: Choices
    stems: dict[str, str] = field(init=False)
    _of_stacks: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.stems = {examination.name: examination.name.replace("/", "_") for examination in self.examinations}
        counts = Counter(stem.casefold() for stem in self.stems.values())  # some systems take no notice of case
        for examination in self.examinations:
            stem = self.stems[examination.name]
            if counts[stem.casefold()] > 1:
                first = examination.files[0].name
                raise InputError(
                    f"{first} and another file would both give {stem}{MASK_SUFFIX}; give them different --out folders."
                )
            paths = [self.single(examination)]
            if examination.is_volume:
                paths = [*self.of_volume(examination), without_segmentation(self.of_volume(examination)[0])]
            for path in paths:
                self._refuse_neighbour(path)

    def has(self, examination: Examination) -> bool:
        """Whether its mask, or that of its first slice, has been written."""
        if examination.is_volume:
            mask = self.of_volume(examination)[0]
            return mask.exists() or without_segmentation(mask).exists()
        stem = self.stems[examination.name]
        first = (self.single(examination), *(self.out / f"{stem}{middle}1{MASK_SUFFIX}.png" for middle in ("_", "_slice_")))
        return any(path.exists() for path in first)

    def single(self, examination: Examination) -> Path:
        """The mask of a file of one slice."""
        return self.out / f"{self.stems[examination.name]}{MASK_SUFFIX}.png"

    def of_volume(self, examination: Examination) -> list[Path]:
        """The mask of a volume, and its probability map where one is wanted."""
        stem = self.stems[examination.name]
        ending = ".dcm" if examination.main.kind == "dicom" else ".nii.gz"
        probability = [self.out / f"{stem}{PROBABILITY_SUFFIX}.nii.gz"] if self.choices.probability else []
        return [self.out / f"{stem}{MASK_SUFFIX}{ending}", *probability]

    def of_stack(self, examination: Examination, slices: int) -> list[Path]:
        """The masks of the slices of a stack or a volume.

        Raises:
            InputError: one would replace another file's mask, or a file beside the inputs.
        """
        others = (other for other in self.examinations if other is not examination)
        taken = {str(self.single(other)).casefold() for other in others} | self._of_stacks
        for middle in ("_", "_slice_"):
            stem = f"{self.stems[examination.name]}{middle}"
            paths = [self.out / f"{stem}{number + 1}{MASK_SUFFIX}.png" for number in range(slices)]
            if not taken.intersection(names := {str(path).casefold() for path in paths}):
                for path in paths:
                    self._refuse_neighbour(path)
                self._of_stacks |= names
                return paths
        first = examination.files[0].name
        raise InputError(f"The masks of {first} would replace those of another file; give them different --out folders.")

    def _refuse_neighbour(self, path: Path) -> None:
        folders = {Path(file.path.parent) for examination in self.examinations for file in examination.files}
        if path.parent.resolve() in folders and path.exists():
            raise InputError(f"{path} lies beside the inputs already and would be replaced; give another folder with --out.")


def _segment(
    load: Callable[[str], TumourPipeline],
    model: str | None,
    read: Volume | Scan,
    examination: Examination,
    outputs: Outputs,
    choices: Choices,
) -> dict[str, Any]:
    check_modality(read)
    if isinstance(read, Scan):
        triage = triage_scan(read, choices.asked)
    else:
        triage = triage_volume(read, examination.main.reading.sequence, choices.asked)
    triage = triage.with_model(model)
    if not triage.is_judged:
        return {"verdict": str(not_judged(triage.reason)).rstrip("."), "p_tumour": None, "notes": list(triage.notes)}
    pipeline = load(triage.model)
    if isinstance(read, Scan):
        content = _segment_scan(pipeline, read, examination, outputs, choices.tta)
    else:
        slices = outputs.of_stack(examination, read.axial_depth) if choices.png else []
        content = segment_case(pipeline, read, outputs.of_volume(examination), slices, choices.tta)
    notes = [*triage.notes, *content["notes"]]
    return {**content, "sequence": triage.sequence, "judged_all_the_same": triage.is_asked, "notes": notes}


def _segment_scan(
    pipeline: TumourPipeline, scan: Scan, examination: Examination, outputs: Outputs, tta: bool
) -> dict[str, Any]:
    """Masks are written when all of them are known: a stack leaves all of its files, or none."""
    count = len(scan.slices)
    paths = [outputs.single(examination)] if count == 1 else outputs.of_stack(examination, count)
    summary = ScanSummary(replace(scan, notes=pipeline.fitting(scan.notes)))
    masks = list[bytes]()
    for prediction in pipeline.predict_slices(scan.slices, tta, scan.spacing):
        summary.add(prediction)
        masks.append(encode_mask(np.zeros(scan.slices.shape[1:3], bool) if prediction is None else prediction.mask))
    content = summary.content()
    write_together(dict(zip(paths, masks, strict=True)))
    return content
