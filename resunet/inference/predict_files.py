"""Image files in, mask files out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from resunet.data.names import MASK, is_litter, may_be_image, stem_of
from resunet.data.readers import read_scan
from resunet.errors import InputError
from resunet.files import atomic_path, encode_mask
from resunet.hub import FLAGSHIP
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.verdict import ScanSummary


@dataclass(frozen=True)
class Choices:
    """Overrides of what validation chose; None keeps it."""

    threshold: float | None = None
    gate: float | None = None
    tta: bool = False


def predict_files(images: Sequence[Path], out: Path, model: str | None, choices: Choices) -> Iterator[dict[str, Any]]:
    """Segment files one by one, as results are asked for: the result for each file, or the file and its error.

    A single slice gives <stem>_mask.png, slice n of a volume <stem>_<n>_mask.png, at the input's size, 0 or 255.

    Raises:
        InputError: before anything is written, where two results would have one name, or one the name of a file that lies
            beside the inputs.
    """
    outputs = Outputs(_image_files(images), out)
    pipeline = TumourPipeline.load(model or FLAGSHIP)
    pipeline.threshold = pipeline.threshold if choices.threshold is None else choices.threshold
    pipeline.gate = pipeline.gate if choices.gate is None else choices.gate
    for file in outputs.stems:
        try:
            yield _predict_file(pipeline, file, outputs, choices.tta)
        except InputError as error:
            yield {"file": str(file), "error": str(error)}


def _image_files(images: Sequence[Path]) -> list[Path]:
    """The files named, and the images directly in the folders named, masks left out."""
    files: list[Path] = []
    for path in images:
        if not path.is_dir():
            files.append(path)
            continue
        inside = [file for file in sorted(path.iterdir()) if file.is_file() and may_be_image(file.name)]
        inside = [file for file in inside if not is_litter(PurePosixPath(file.name)) and not stem_of(file.name).endswith(MASK)]
        if not inside:
            raise InputError(f"The folder {path} holds no image file.")
        files += inside
    return list(dict.fromkeys(files))


@dataclass
class Outputs:
    """Names of the masks, settled before the first is written.

    Files of one stem keep their ending in the mask's name, files of one name get their folder's in front.

    Attributes:
        stems: by input file, what the names of its masks start with.
    """

    files: Sequence[Path]
    out: Path
    stems: dict[Path, str] = field(init=False)
    _of_volumes: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.stems = _distinct_names(self.files)
        counts = Counter(stem.casefold() for stem in self.stems.values())
        for file, stem in self.stems.items():
            if counts[stem.casefold()] > 1:
                raise InputError(f"{file} and another file would both give {stem}{MASK}.png; give them different folders.")
            self._refuse_neighbour(self.single(file))

    def single(self, file: Path) -> Path:
        """The mask of a file of one slice."""
        return self.out / f"{self.stems[file]}{MASK}.png"

    def of_volume(self, file: Path, slices: int) -> list[Path]:
        """The masks of a volume's slices.

        Raises:
            InputError: one would replace another file's mask, or a file beside the inputs.
        """
        taken = {str(self.single(other)).casefold() for other in self.files if other != file} | self._of_volumes
        for middle in ("_", "_slice_"):
            paths = [self.out / f"{self.stems[file]}{middle}{number + 1}{MASK}.png" for number in range(slices)]
            if not taken.intersection(names := {str(path).casefold() for path in paths}):
                for path in paths:
                    self._refuse_neighbour(path)
                self._of_volumes |= names
                return paths
        raise InputError(f"The masks of {file} would replace those of another file; give them different --out folders.")

    def _refuse_neighbour(self, path: Path) -> None:
        folders = {file.parent.resolve() for file in self.files}
        if path.parent.resolve() in folders and path.exists():
            raise InputError(f"{path} lies beside the inputs already and would be replaced; give another folder with --out.")


def _distinct_names(files: Sequence[Path]) -> dict[Path, str]:
    """What to call each file: its stem, its name where stems coincide, with its folder's where names do."""
    names = {file: stem_of(file.name) for file in files}
    for clearer in (lambda file: file.name, lambda file: f"{file.resolve().parent.name}_{file.name}"):
        counts = Counter(name.casefold() for name in names.values())  # some systems take no notice of case
        names = {file: clearer(file) if counts[name.casefold()] > 1 else name for file, name in names.items()}
    return names


def _predict_file(pipeline: TumourPipeline, file: Path, outputs: Outputs, tta: bool) -> dict[str, Any]:
    """Masks are written when all of them are known: a volume leaves all of its files, or none."""
    started = time.perf_counter()
    scan = read_scan(file)
    pipeline.check_modality(scan)
    count = len(scan.slices)
    paths = [outputs.single(file)] if count == 1 else outputs.of_volume(file, count)
    summary, masks = ScanSummary(scan), list[bytes]()
    for prediction in pipeline.predict_volume(scan.slices, tta, scan.spacing):
        summary.add(prediction)
        masks.append(encode_mask(np.zeros(scan.slices.shape[1:3], bool) if prediction is None else prediction.mask))
    content = summary.content()
    for path, mask in zip(paths, masks, strict=True):
        with atomic_path(path) as temporary:
            temporary.write_bytes(mask)
    return {"file": str(file), **content, "seconds": round(time.perf_counter() - started, 4)}
