"""The bundled sample slices: simulated, two dozen, over all difficulties."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from resunet.errors import InputError
from resunet.files import atomic_path, write_text

SAMPLES = Path(__file__).with_name("samples")
INDEX = "index.csv"
# Seeds were picked by eye for variety.
CHOSEN: dict[str, tuple[int, ...]] = {
    "typical": (2, 3, 6),
    "large": (2, 5, 7),
    "small": (2, 4, 6, 8, 9, 12),
    "faint": (1, 4, 5),
    "cavity": (2, 5, 12),
    "none": (1, 2, 3, 4, 5, 6),
}


@dataclass(frozen=True)
class Sample:
    """A bundled slice: image (256, 256, 3) uint8, mask (256, 256) bool, and the PNG's bytes as a visitor would send them."""

    name: str
    kind: str
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    png: bytes


def write_samples(folder: Path = SAMPLES) -> int:
    """Simulate the chosen slices into `folder` as images/, masks/ and index.csv. Returns how many."""
    from resunet.data.simulator import simulate  # drawing needs more than reading does

    rows = ["name,kind,seed,tumour_pixels"]
    for kind, seeds in CHOSEN.items():
        for number, seed in enumerate(seeds, start=1):
            example = simulate(kind, seed)
            name = f"{kind}_{number}"
            _write_png(folder / "images" / f"{name}.png", example.image[..., ::-1])
            _write_png(folder / "masks" / f"{name}.png", example.mask.astype(np.uint8) * 255)
            rows.append(f"{name},{kind},{seed},{int(example.mask.sum())}")
    write_text(folder / INDEX, "\n".join(rows) + "\n")
    return len(rows) - 1


def _write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


@cache
def load_samples(folder: Path = SAMPLES) -> tuple[Sample, ...]:
    """The bundled slices in the order of index.csv. Raises InputError when the folder is not there."""
    try:
        with (folder / INDEX).open(newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(f"The bundled samples are missing from {folder}; make them with: resunet simulate.") from None
    return tuple(_load(folder, row["name"], row["kind"]) for row in rows)


def _load(folder: Path, name: str, kind: str) -> Sample:
    png = (folder / "images" / f"{name}.png").read_bytes()
    bgr = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    mask = cv2.imread(str(folder / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    assert bgr is not None and mask is not None, f"sample {name} is not a PNG"
    return Sample(name, kind, np.ascontiguousarray(bgr[..., ::-1], np.uint8), mask > 127, png)
