"""Image files in, mask files out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resunet.data.readers import read_scan
from resunet.errors import InputError
from resunet.files import atomic_path, encode_mask
from resunet.hub import FLAGSHIP
from resunet.inference.pipeline import TumourPipeline


@dataclass(frozen=True)
class Choices:
    """Overrides of what validation chose; None keeps it."""

    threshold: float | None = None
    gate: float | None = None
    tta: bool = False


def predict_files(images: Sequence[Path], out: Path, model: str | None, choices: Choices) -> Iterator[dict[str, Any]]:
    """Segment files one by one, as results are asked for: the result for each file, or the file and its error.

    A single slice gives <stem>_mask.png, slice n of a volume <stem>_<n>_mask.png, at the input's size, 0 or 255.
    """
    files, written = _image_files(images), set[Path]()
    pipeline = TumourPipeline.load(model or FLAGSHIP)
    pipeline.threshold = pipeline.threshold if choices.threshold is None else choices.threshold
    pipeline.gate = pipeline.gate if choices.gate is None else choices.gate
    for file in files:
        try:
            yield _predict_file(pipeline, file, out, choices.tta, written)
        except InputError as error:
            yield {"file": str(file), "error": str(error)}


def _image_files(images: Sequence[Path]) -> list[Path]:
    """The files named, and those directly in the folders named, hidden ones and masks left out."""
    files: list[Path] = []
    for path in images:
        if not path.is_dir():
            files.append(path)
            continue
        inside = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
        inside = [file for file in inside if not stem_of(file.name).endswith("_mask")]
        if not inside:
            raise InputError(f"The folder {path} holds no image file.")
        files += inside
    return files


def _predict_file(pipeline: TumourPipeline, file: Path, out: Path, tta: bool, written: set[Path]) -> dict[str, Any]:
    started = time.perf_counter()
    scan = read_scan(file)
    stem, count = stem_of(file.name), len(scan.slices)
    paths = [out / (f"{stem}_mask.png" if count == 1 else f"{stem}_{number + 1}_mask.png") for number in range(count)]
    if written.intersection(paths):
        raise InputError(f"{file} would overwrite the mask of another file of that name; give them different --out folders.")
    written.update(paths)
    p_tumour, gated, pixels = list[float](), True, 0
    for path, prediction in zip(paths, pipeline.predict_volume(scan.slices, tta), strict=True):
        mask = prediction.mask
        with atomic_path(path) as temporary:
            temporary.write_bytes(encode_mask(mask))
        p_tumour.append(prediction.p_tumour)
        gated = gated and prediction.gated
        pixels += int(mask.sum())
    seconds = round(time.perf_counter() - started, 4)
    highest = None if math.isnan(p_tumour[0]) else round(max(p_tumour), 6)  # NaN throughout, without stage 1
    return {"file": str(file), "p_tumour": highest, "gated": gated, "tumour_pixels": pixels, "seconds": seconds}


def stem_of(name: str) -> str:
    """The file name without its ending; .nii.gz counts as one ending."""
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else Path(name).stem
