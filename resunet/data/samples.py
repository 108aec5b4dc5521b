"""The bundled samples: simulated slices over all difficulties, of contrast-enhanced T1 too, and two examinations."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resunet.errors import InputError
from resunet.reading.readers import read_mask, read_scan

SAMPLES = Path(__file__).with_name("samples")
REPLAY = SAMPLES / "replay"  # slices that every training run outlined after each epoch
INDEX, VOLUMES, T1CE = "index.csv", "volumes", "t1ce"
NAME = re.compile(r"\w{1,40}")


@dataclass(frozen=True)
class Sample:
    """A sample slice: image (H, W, 3) uint8, mask (H, W) bool, the PNG's bytes as visitors send them, and their SHA-256.

    `plane` is empty where all samples are axial.
    """

    name: str
    kind: str
    simulated: bool
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    png: bytes
    digest: str
    plane: str = ""


@cache
def load_samples(folder: Path = SAMPLES) -> tuple[Sample, ...]:
    """The sample slices in the order of index.csv; one that names a seed is simulated.

    Raises:
        InputError: the folder or one of its files is not there or cannot be used.
    """
    try:
        with (folder / INDEX).open(newline="") as file:
            return tuple(_load(folder, row) for row in csv.DictReader(file))
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} is missing; the bundled samples are made with: resunet simulate.") from None
    except (KeyError, UnicodeDecodeError):
        raise InputError(f"{folder / INDEX} must have the columns name, kind and seed, names being plain words.") from None


def _load(folder: Path, row: dict[str, str]) -> Sample:
    name = row["name"]
    if NAME.fullmatch(name) is None:
        raise KeyError(name)
    image_path = folder / "images" / f"{name}.png"
    png = image_path.read_bytes()
    scan = read_scan(image_path)
    mask = read_mask(folder / "masks" / f"{name}.png")
    image = scan.slices[0]
    if image.dtype != np.uint8 or image.shape[:2] != mask.shape:
        raise InputError(f"{image_path} must be an 8-bit slice of the size of its mask.")
    digest = hashlib.sha256(png).hexdigest()
    pixels = np.ascontiguousarray(image)
    return Sample(name, row["kind"], row["seed"] != "", pixels, mask, png, digest, row.get("plane", ""))


def load_volumes(folder: Path = SAMPLES) -> dict[str, dict[str, bytes]]:
    """The sample examinations by name, each as its NIfTI files by name; empty where the folder holds none."""
    return {
        case.name: {file.name: file.read_bytes() for file in sorted(case.glob("*.nii.gz"))}
        for case in sorted((folder / VOLUMES).glob("*"), reverse=True)
    }
