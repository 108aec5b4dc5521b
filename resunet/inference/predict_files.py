"""Image files and cases in, mask files out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from resunet.catalogue import FLAGSHIP, VOLUME_MODEL
from resunet.data.archive import unpack
from resunet.data.case import Role, case_and_role
from resunet.errors import InputError
from resunet.files import atomic_path, encode_mask
from resunet.inference.items import Item, image_files, items_of
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.predict_volumes import read_case, read_dicom_case, read_slices, segment_case
from resunet.inference.verdict import ScanSummary
from resunet.reading.names import MASK
from resunet.reading.readers import read_scan
from resunet.reading.scan import Scan
from resunet.reading.volume_scan import Volume


@dataclass(frozen=True)
class Choices:
    """Overrides of what validation chose; None keeps it. `png` and `probability` ask for more files of a volume."""

    threshold: float | None = None
    gate: float | None = None
    tta: bool = False
    png: bool = False
    probability: bool = False


def predict_files(images: Sequence[Path], out: Path, model: str | None, choices: Choices) -> Iterator[dict[str, Any]]:
    """Segment files, those in folders and zip files among them, one by one, as results are asked for.

    Gives the result for each file or case, or the file and its error.

    A single slice gives <stem>_mask.png, slice n of a stack <stem>_<n>_mask.png, at the input's size, 0 or 255. A NIfTI file,
    and several whose names say that they are sequences of one case, give <stem>_mask.nii.gz on the grid of the (FLAIR)
    file; a DICOM series gives <folder>_mask.dcm, a DICOM SEG; a patient's folder of the LGG set <patient>_mask.nii.gz.

    Raises:
        InputError: before anything is written, where two results would have one name, or one the name of a file that lies
            beside the inputs.
    """
    with ExitStack() as folders:
        unpacked = {_unpacked(path, folders): path for path in images if path.suffix.lower() == ".zip"}
        paths = [*unpacked, *(path for path in images if path not in unpacked.values())]

        def name_of(file: Path) -> str:
            return next((str(path / file.relative_to(top)) for top, path in unpacked.items() if top in file.parents), str(file))

        yield from _predict(items_of(image_files(paths)), out, model, choices, name_of)


def _unpacked(path: Path, folders: ExitStack) -> Path:
    """A folder with the images of a zip file that is gone when `folders` is left. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    top = Path(folders.enter_context(TemporaryDirectory())) / path.stem
    for name, content in unpack(path.read_bytes()).items():
        file = top / name
        if not file.resolve().is_relative_to(top.resolve()):
            raise InputError(f"{path} holds files outside of its folder; zip the folder again.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return top


def predict_case(roles: Mapping[Role, Path], out: Path, model: str | None, choices: Choices) -> Iterator[dict[str, Any]]:
    """`predict_files` for one case whose files are given by role. Raises InputError where FLAIR is missing."""
    if "flair" not in roles:
        raise InputError("A case needs its FLAIR; add flair=FILE.")
    yield from _predict([Item(roles["flair"], case_and_role(roles["flair"].name)[0], roles)], out, model, choices)


def _predict(
    items: Sequence[Item], out: Path, model: str | None, choices: Choices, name_of: Callable[[Path], str] = str
) -> Iterator[dict[str, Any]]:
    outputs, pipelines = Outputs(items, out), dict[str, TumourPipeline]()
    with ThreadPoolExecutor(1) as readers:
        for item in items:
            started, name = time.perf_counter(), model or (VOLUME_MODEL if item.is_volume else FLAGSHIP)
            reading = readers.submit(_read, item)  # while the models load
            pipeline = pipelines[name] = pipelines.get(name) or load_pipeline(name, choices)
            try:
                read = reading.result()
                segment: Callable[..., dict[str, Any]] = _segment_volume if isinstance(read, Volume) else _segment_scan
                content = segment(pipeline, read, item, outputs, choices)
                files = {"files": [name_of(path) for path in item.files]} if len(item.files) > 1 else {}
                yield {"file": name_of(item.path), **files, **content, "seconds": round(time.perf_counter() - started, 4)}
            except InputError as error:
                yield {"file": name_of(item.path), "error": str(error)}


def load_pipeline(model: str, choices: Choices) -> TumourPipeline:
    """Both stages with what was chosen otherwise. Raises InputError."""
    pipeline = TumourPipeline.load(model)
    pipeline.threshold = pipeline.threshold if choices.threshold is None else choices.threshold
    pipeline.gate = pipeline.gate if choices.gate is None else choices.gate
    return pipeline


def _read(item: Item) -> Volume | Scan:
    if item.roles:
        return read_case(item.name, item.roles)
    if item.stack:
        return read_slices(item.name, item.stack)
    return read_dicom_case(item.name, item.series) if item.series else read_scan(item.path)


def _segment_volume(pipeline: TumourPipeline, volume: Volume, item: Item, outputs: Outputs, choices: Choices) -> dict[str, Any]:
    pipeline.check_modality(volume)
    slices = outputs.of_stack(item, volume.axial_depth) if choices.png else []
    return segment_case(pipeline, volume, outputs.of_volume(item), slices, choices.probability, choices.tta)


@dataclass
class Outputs:
    """Names of the masks, settled before the first is written.

    Inputs of one name keep their ending in the mask's name, files of one name get their folder's in front.

    Attributes:
        stems: by input, what the names of its masks start with.
    """

    items: Sequence[Item]
    out: Path
    stems: dict[Item, str] = field(init=False)
    _of_stacks: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.stems = _distinct_names(self.items)
        counts = Counter(stem.casefold() for stem in self.stems.values())
        for item, stem in self.stems.items():
            if counts[stem.casefold()] > 1:
                raise InputError(f"{item.path} and another file would both give {stem}{MASK}; give them different folders.")
            self._refuse_neighbour(self.of_volume(item) if item.is_volume else self.single(item))

    def single(self, item: Item) -> Path:
        """The mask of a file of one slice."""
        return self.out / f"{self.stems[item]}{MASK}.png"

    def of_volume(self, item: Item) -> Path:
        """The mask of a case, or of a series."""
        return self.out / f"{self.stems[item]}{MASK}{'.dcm' if item.series else '.nii.gz'}"

    def of_stack(self, item: Item, slices: int) -> list[Path]:
        """The masks of the slices of a stack or a case.

        Raises:
            InputError: one would replace another file's mask, or a file beside the inputs.
        """
        taken = {str(self.single(other)).casefold() for other in self.items if other != item} | self._of_stacks
        for middle in ("_", "_slice_"):
            paths = [self.out / f"{self.stems[item]}{middle}{number + 1}{MASK}.png" for number in range(slices)]
            if not taken.intersection(names := {str(path).casefold() for path in paths}):
                for path in paths:
                    self._refuse_neighbour(path)
                self._of_stacks |= names
                return paths
        raise InputError(f"The masks of {item.path} would replace those of another file; give them different --out folders.")

    def _refuse_neighbour(self, path: Path) -> None:
        folders = {file.parent.resolve() for item in self.items for file in item.files}
        if path.parent.resolve() in folders and path.exists():
            raise InputError(f"{path} lies beside the inputs already and would be replaced; give another folder with --out.")


def _distinct_names(items: Sequence[Item]) -> dict[Item, str]:
    """What to call each input: its name, its file's where names coincide, with its folder's where those do."""
    names = {item: item.name for item in items}
    for clearer in (lambda item: item.path.name, lambda item: f"{item.path.resolve().parent.name}_{item.path.name}"):
        counts = Counter(name.casefold() for name in names.values())  # some systems take no notice of case
        names = {item: clearer(item) if counts[name.casefold()] > 1 else name for item, name in names.items()}
    return names


def _segment_scan(pipeline: TumourPipeline, scan: Scan, item: Item, outputs: Outputs, choices: Choices) -> dict[str, Any]:
    """Masks are written when all of them are known: a stack leaves all of its files, or none."""
    pipeline.check_modality(scan)
    count = len(scan.slices)
    paths = [outputs.single(item)] if count == 1 else outputs.of_stack(item, count)
    summary, masks = ScanSummary(scan), list[bytes]()
    for prediction in pipeline.predict_volume(scan.slices, choices.tta, scan.spacing):
        summary.add(prediction)
        masks.append(encode_mask(np.zeros(scan.slices.shape[1:3], bool) if prediction is None else prediction.mask))
    content = summary.content()
    for path, mask in zip(paths, masks, strict=True):
        with atomic_path(path) as temporary:
            temporary.write_bytes(mask)
    return content
