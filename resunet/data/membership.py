"""Was this very slice in the training set? Answered from a committed list of pixel hashes, without the data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from resunet.data.slices import SliceRecord
from resunet.data.splits import read_split
from resunet.files import write_text

HASH_FILE = Path(__file__).with_name("lgg_hashes.txt")
DIGITS = 12


class Known(NamedTuple):
    """A slice of the LGG set: its patient, and the part (train, val or test) that the patient is in."""

    patient: str
    part: str


def pixel_hash(image: npt.NDArray[np.generic]) -> str:
    """First digits of the SHA-256 of a slice's pixels (H, W, 3)."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:DIGITS]


def write_hashes(records: Iterable[SliceRecord], path: Path = HASH_FILE) -> None:
    """Write one line a patient: name, then the hashes of its slices. Slices without any contrast are left out."""
    lines: dict[str, list[str]] = {}
    for record in records:
        image = record.image()
        if np.ptp(image) > 0:
            lines.setdefault(record.patient, []).append(pixel_hash(image))
    write_text(path, "".join(f"{patient} {' '.join(hashes)}\n" for patient, hashes in sorted(lines.items())))


@cache
def _patients_by_hash() -> dict[str, str]:
    table = (line.split() for line in HASH_FILE.read_text(encoding="utf-8").splitlines())
    return {digest: patient for patient, *digests in table for digest in digests}


@cache
def _parts() -> dict[str, str]:
    table = read_split()
    return dict(zip(table["patient"], table["split"], strict=True))


def find_slice(image: npt.NDArray[np.generic]) -> Known | None:
    """The LGG slice with exactly these pixels (H, W, 3), or None."""
    patient = _patients_by_hash().get(pixel_hash(image))
    return Known(patient, _parts()[patient]) if patient else None
