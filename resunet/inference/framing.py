"""Heads fill the networks' frame as in training: slices with much air around a small head are cut to a window about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resunet.data.transforms import FloatImage
from resunet.reading.scan import Array

FOREGROUND = 0.1  # share of the range above which a pixel counts as head
LINE = 0.05  # share of a row or column that must be head for it to belong to the head's box
SMALL = 0.75  # share of the frame; smaller than any head in the training set
FILLED = 0.95  # share of the frame that a small head fills afterwards; chosen on LGG validation (docs/findings.md)


@dataclass(frozen=True)
class Window:
    """Rows top to bottom and columns left to right of a slice (H, W), cut out for the networks."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, image: FloatImage) -> FloatImage:
        """The window of a slice (H, W, ...)."""
        return image[self.top : self.bottom, self.left : self.right]

    def put_back(self, plane: FloatImage, height: int, width: int) -> FloatImage:
        """A plane of the window's size at its place in (height, width), 0 elsewhere."""
        whole = np.zeros((height, width), np.float32)
        whole[self.top : self.bottom, self.left : self.right] = plane
        return whole


def window_of(flair: Array, aspect: float = 1.0) -> Window:
    """The window of a volume's slices (D, H, W) that the networks shall see: all, unless the head is small in it.

    Args:
        flair: slices in which the head is brighter than the air around it.
        aspect: height of a pixel over its width.
    """
    height, width = flair.shape[1:]
    whole = Window(0, height, 0, width)
    box = _head_box(flair)
    if box is None:
        return whole
    extent = max((box.bottom - box.top) * aspect, box.right - box.left)  # in widths of a pixel, as all lengths here
    if extent >= SMALL * max(height * aspect, width):
        return whole
    side = extent / FILLED
    top, bottom = _around(box.top, box.bottom, side / aspect, height)
    left, right = _around(box.left, box.right, side, width)
    return Window(top, bottom, left, right)


def _head_box(flair: Array) -> Window | None:
    """Rows and columns that the head reaches in two slices or more (in the only one); None where nothing has contrast."""
    step = max(1, len(flair) // 64)
    sample = np.asarray(flair[::step], np.float32)
    lowest = sample.min(axis=(1, 2), keepdims=True)
    head = sample - lowest > FOREGROUND * (np.percentile(sample, 99.5) - lowest)
    slices = min(2, len(sample))
    rows = np.flatnonzero((head.mean(axis=2) >= LINE).sum(axis=0) >= slices)
    columns = np.flatnonzero((head.mean(axis=1) >= LINE).sum(axis=0) >= slices)
    if rows.size == 0 or columns.size == 0:
        return None
    return Window(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _around(start: int, stop: int, side: float, limit: int) -> tuple[int, int]:
    """`side` pixels about the middle of start to stop, moved to lie within 0 to `limit`, or all of them."""
    length = min(round(side), limit)
    first = min(max(0, round((start + stop - length) / 2)), limit - length)
    return first, first + length
