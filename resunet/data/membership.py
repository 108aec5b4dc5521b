"""Is this slice one of the LGG set? Answered from a committed list of pixel hashes, without the data."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

HASH_FILE = Path(__file__).with_name("lgg_hashes.txt")  # one line per patient: name, then the hashes of its slices
DIGITS = 12


def pixel_hash(image: npt.NDArray[np.generic]) -> str:
    """First digits of the SHA-256 of a slice's pixels (H, W, 3)."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:DIGITS]


@cache
def _patients_by_hash() -> dict[str, str]:
    table = (line.split() for line in HASH_FILE.read_text(encoding="utf-8").splitlines())
    return {digest: patient for patient, *digests in table for digest in digests}


def find_patient(image: npt.NDArray[np.generic]) -> str | None:
    """The LGG patient with a slice of exactly these pixels (H, W, 3), or None. Slices without contrast are not listed."""
    return _patients_by_hash().get(pixel_hash(image))
