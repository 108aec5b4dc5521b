"""Lesions found or missed, and how slices.csv writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

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


class LesionTable(NamedTuple):
    """All lesions of a table of slices: the row (from 0) each belongs to, its pixels, and whether any was predicted."""

    row: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    found: BoolMask

    def texts(self, rows: int) -> list[str]:
        """The cells again, of the first `rows` slices."""
        cells: list[list[str]] = [[] for _ in range(rows)]
        for row, pixels, found in zip(*map(np.ndarray.tolist, self), strict=True):
            cells[row].append(f"{pixels}{'+' if found else '-'}")
        return [" ".join(cell) for cell in cells]


def lesion_table(texts: Iterable[object]) -> LesionTable:
    """The cells of slices.csv, read at once; missing cells hold no lesion."""
    parts = [text.split() if isinstance(text, str) else [] for text in texts]
    row = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    lesions = np.array([lesion for part in parts for lesion in part], dtype=str)
    if not len(lesions):
        return LesionTable(row, np.zeros(0, np.int64), np.zeros(0, bool))
    return LesionTable(row, np.char.rstrip(lesions, "+-").astype(np.int64), np.char.endswith(lesions, "+"))
