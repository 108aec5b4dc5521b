"""Lesions found or missed, and how slices.csv writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from resunet.reading.scan import BoolMask


class LesionHit(NamedTuple):
    """One lesion, an 8-connected part of the true mask in a slice: its pixels, and whether any of them was predicted."""

    pixels: int
    found: bool


def lesion_hits(predicted: BoolMask, target: BoolMask) -> list[LesionHit]:
    """Every lesion of the true mask (H, W), largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(target.astype(np.uint8), connectivity=8)
    touched = set(np.unique(labels[predicted & target]))
    hits = [LesionHit(int(stats[label, cv2.CC_STAT_AREA]), label in touched) for label in range(1, count)]
    return sorted(hits, key=lambda hit: hit.pixels, reverse=True)  # of the truth alone, whatever was found


def write_lesions(hits: Sequence[LesionHit]) -> str:
    """Text for a cell of slices.csv: pixels, then + for found or - for missed, e.g. '812+ 34-'."""
    return " ".join(f"{hit.pixels}{'+' if hit.found else '-'}" for hit in hits)


def read_lesions(text: object) -> list[LesionHit]:
    """The inverse of `write_lesions`; a missing cell is no lesion."""
    if not isinstance(text, str):
        return []
    return [LesionHit(int(part[:-1]), part.endswith("+")) for part in text.split()]
