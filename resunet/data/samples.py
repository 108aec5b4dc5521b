"""The bundled sample slices: simulated, two dozen, over all difficulties."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from resunet.data.readers import read_mask, read_scan
from resunet.errors import InputError
from resunet.files import atomic_path, write_text

SAMPLES = Path(__file__).with_name("samples")
INDEX = "index.csv"
NAME = re.compile(r"\w{1,40}")
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
    """A sample slice: image (H, W, 3) uint8, mask (H, W) bool, the PNG's bytes as visitors send them, and their SHA-256."""

    name: str
    kind: str
    simulated: bool
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    png: bytes
    digest: str


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
    """The sample slices in the order of index.csv; one that names a seed is simulated.

    Raises:
        InputError: the folder or one of its files is not there or cannot be used.
    """
    try:
        with (folder / INDEX).open(newline="") as file:
            return tuple(_load(folder, row["name"], row["kind"], row["seed"] != "") for row in csv.DictReader(file))
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} is missing; the bundled samples are made with: resunet simulate.") from None
    except (KeyError, UnicodeDecodeError):
        raise InputError(f"{folder / INDEX} must have the columns name, kind and seed, names being plain words.") from None


def _load(folder: Path, name: str, kind: str, simulated: bool) -> Sample:
    if NAME.fullmatch(name) is None:
        raise KeyError(name)
    image_path = folder / "images" / f"{name}.png"
    png, scan, mask = image_path.read_bytes(), read_scan(image_path), read_mask(folder / "masks" / f"{name}.png")
    image = scan.slices[0]
    if image.dtype != np.uint8 or image.shape[:2] != mask.shape:
        raise InputError(f"{image_path} must be an 8-bit slice of the size of its mask.")
    return Sample(name, kind, simulated, np.ascontiguousarray(image), mask, png, hashlib.sha256(png).hexdigest())
