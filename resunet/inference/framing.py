"""What the networks see of a slice: square pixels, and a head that fills the frame as in training.

Slices with much air around a small head are cut to a window about it; maps go back to where they belong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resunet.data.transforms import FloatImage, fit_back, stretch, with_square_pixels
from resunet.reading.scan import Array

CUT = "The head is small in its frame: the networks saw a window about it."
RESAMPLED = "Pixels are not square: the networks saw the slice resampled to square ones."
FRAME = 256  # pixels along each side of what the networks see

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


@dataclass(frozen=True)
class Framing:
    """The way of slices (H, W, C) to the networks and of their maps (FRAME, FRAME) back.

    Attributes:
        spacing: millimetres between rows and between columns; where they differ, the networks see square pixels.
    """

    height: int
    width: int
    window: Window
    spacing: tuple[float, float] | None = None

    @classmethod
    def of_slices(cls, flair: Array, spacing: tuple[float, float] | None) -> Framing:
        """For neighbouring slices (D, H, W)."""
        aspect = spacing[0] / spacing[1] if spacing else 1.0
        return cls(flair.shape[1], flair.shape[2], window_of(flair, aspect), spacing)

    @classmethod
    def of_picture(cls, image: Array, spacing: tuple[float, float] | None) -> Framing:
        """For one slice (H, W, C), of which only a frame larger than the networks' is cut.

        High up, heads are small by nature, so a window about one means something only where it saves detail.
        """
        height, width = image.shape[:2]
        if max(height, width) > FRAME:
            return cls.of_slices(image[None, ..., image.shape[2] // 2], spacing)
        return cls(height, width, Window(0, height, 0, width), spacing)

    @property
    def is_cut(self) -> bool:
        """Whether the networks see a part of the slice only."""
        return self.window != Window(0, self.height, 0, self.width)

    @property
    def is_resampled(self) -> bool:
        """Whether pixels were made square."""
        return self._squared(self.height, self.width) != (self.height, self.width)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was done."""
        done = {RESAMPLED: self.is_resampled, CUT: self.is_cut}
        return tuple(note for note, is_so in done.items() if is_so)

    def to_networks(self, image: FloatImage) -> FloatImage:
        """The window of a normalised slice (H, W, C), its pixels square."""
        return with_square_pixels(self.window.cut(image), self.spacing)

    def put_back(self, plane: FloatImage) -> FloatImage:
        """A map (FRAME, FRAME) of what the networks saw as (H, W), 0 outside of the window."""
        rows, columns = self.window.bottom - self.window.top, self.window.right - self.window.left
        inside = stretch(fit_back(plane, *self._squared(rows, columns)), rows, columns)
        return self.window.put_back(inside, self.height, self.width) if self.is_cut else inside

    def _squared(self, height: int, width: int) -> tuple[int, int]:
        rows, columns = with_square_pixels(np.zeros((height, width), np.float32), self.spacing).shape
        return rows, columns


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
