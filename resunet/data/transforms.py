"""Preprocessing shared by training and pipeline: robust normalisation of a slice, and fitting it to the model's grid."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from resunet.reading.scan import MAX_SIDE

FloatImage = npt.NDArray[np.float32]
T = TypeVar("T", bound=np.generic)

NORMALISATION = "foreground median and interquartile range per channel, clipped to [-4, 6]"
LOW, HIGH = -4.0, 6.0
FOREGROUND = 0.08  # share of the 99th percentile under which a pixel counts as air
MIN_FOREGROUND = 16  # pixels
MIN_LEVELS = 48  # distinct values without which a plane is noise around one level, as the empty slices above the head are
EVEN_BORDER = 1 / 3  # share of the border that has one value where the background is even
SQUARE = 1.05  # sides of a pixel whose ratio is under this count as equal
LIGHT = 90  # percentile of a plane from which a background counts as lighter than tissue
PAGE_TOLERANCE = 0.02  # of the range, by which a white page may differ from white


def normalise(image: npt.NDArray[np.generic]) -> FloatImage:
    """Scale each channel of one slice so that tissue has median 0 and interquartile range 1.

    Sites window their scans differently (skull fat at 255 and brain at 40, say), and single bright structures move a
    mean or a maximum; the median and quartiles of the foreground do not follow them. Any gain or offset that a scanner
    applies cancels out, apart from the air threshold, and so does the value that fills an even background.

    Args:
        image: (H, W, C), any real dtype, any range.

    Returns:
        (H, W, C) float32 in [-4, 6]; a channel without contrast is 0 everywhere.
    """
    if image.shape[2] > 1 and image.strides[2] == 0:  # one channel, seen several times
        return np.repeat(normalise(image[..., :1]), image.shape[2], axis=2)
    pixels = np.asarray(image, dtype=np.float32)
    result = np.zeros_like(pixels)
    for channel in range(pixels.shape[2]):
        plane = _with_dark_background(pixels[..., channel])
        scale = _median_and_spread(_sample(plane))
        if scale is not None:
            result[..., channel] = (plane - scale[0]) / scale[1]
    return np.clip(result, LOW, HIGH)


def _median_and_spread(sample: FloatImage) -> tuple[float, float] | None:
    """Median and interquartile range of the foreground; None where nothing has contrast.

    A single level that fills half of the foreground makes its quartiles coincide; the rest is then judged without it.
    """
    floor = float(sample.min())
    foreground = sample[sample - floor > FOREGROUND * (np.percentile(sample, 99) - floor)]
    for _ in range(2):
        if foreground.size < MIN_FOREGROUND:
            return None
        first, median, third = (float(value) for value in np.percentile(foreground, (25, 50, 75)))
        if third - first > 1e-6 * max(abs(median), 1e-6):
            return median, third - first
        foreground = foreground[foreground != median]
        if np.unique(foreground).size < MIN_LEVELS:
            return None
    return None


def has_light_background(image: npt.NDArray[np.generic]) -> bool:
    """Whether FLAIR, the middle channel of a slice (H, W, C), stands on an even background lighter than its tissue."""
    plane = np.asarray(image[..., image.shape[2] // 2], np.float32)
    level, share = _border_level(plane)
    return bool(share >= EVEN_BORDER and level > plane.min() and level >= np.percentile(_sample(plane), LIGHT))


def _border_level(plane: FloatImage) -> tuple[float, float]:
    """The most frequent value of the plane's border, and its share of the border."""
    border = np.concatenate((plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]))
    levels, counts = np.unique(border, return_counts=True)
    return float(levels[counts.argmax()]), float(counts.max() / border.size)


def _with_dark_background(plane: FloatImage) -> FloatImage:
    """The plane (H, W), its even background lowered or raised to the darkest value of everything else.

    Padding, a page around the slice, or the 0 outside of a brain that was z-scored inside: such a background is one level
    that reaches the border, dark or not. One that is the darkest already, as air is, stays as it is.
    """
    level, share = _border_level(plane)
    if share < EVEN_BORDER or _is_air(level, plane):
        return plane
    lowest = plane.min()
    highest = plane.max()
    # A white page that was stored as JPEG is not quite even; within the tissue's range nothing but the level itself counts.
    tolerance = PAGE_TOLERANCE * (highest - lowest) if level >= highest - PAGE_TOLERANCE * (highest - lowest) else 0.0
    labels = cv2.connectedComponents((np.abs(plane - level) <= tolerance).astype(np.uint8), connectivity=4)[1]
    reaching = np.unique(np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1])))
    background = np.isin(labels, reaching[reaching > 0])
    rest = plane[~background]
    return plane if rest.size < MIN_FOREGROUND else np.where(background, rest.min(), plane)


def _is_air(level: float, plane: FloatImage) -> bool:
    """Whether a level of the plane lies where air is expected, next to the darkest of the other values."""
    sample = _sample(plane)
    others = sample[sample != level]
    if others.size < MIN_FOREGROUND:
        return True
    darkest = others.min()
    if abs(level - darkest) <= FOREGROUND * (np.percentile(others, 99) - darkest):
        return True
    return np.unique(others).size < MIN_LEVELS


def _sample(plane: npt.NDArray[T]) -> npt.NDArray[T]:
    """Every second pixel both ways: the same quantiles to within a grey level at a quarter of the time."""
    return plane[::2, ::2] if min(plane.shape) >= 64 else plane


def has_few_levels(image: npt.NDArray[np.generic]) -> bool:
    """Whether a slice (H, W, C) holds hardly more than noise: few steps lie between FLAIR's darkest and brightest value.

    FLAIR is the middle channel, and a step the smallest difference between two of its values.
    """
    levels = np.unique(_sample(image[..., image.shape[2] // 2])).astype(np.float64)
    return levels.size < 2 or bool(levels[-1] - levels[0] < MIN_LEVELS * np.diff(levels).min())


def fit_to_grid(image: FloatImage, size: int) -> FloatImage:
    """Pad a normalised slice (H, W, C) to a square with its darkest value and resize it to (size, size, C)."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.empty((side, side, image.shape[2]), np.float32)
    square[:] = image.min(axis=(0, 1))
    square[top : top + height, left : left + width] = image
    return resize(square, size)


def with_square_pixels(image: FloatImage, spacing: tuple[float, float] | None) -> FloatImage:
    """A slice (H, W, C) enlarged along rows or columns until its pixels are square, or made smaller where it would not fit.

    Args:
        spacing: millimetres between rows and between columns; None leaves the slice alone, as do nearly equal ones.
    """
    if spacing is None or max(spacing) <= SQUARE * min(spacing):
        return image
    height, width = image.shape[:2]
    side = min(spacing)
    if max(height * spacing[0], width * spacing[1]) / side > MAX_SIDE:
        side = max(spacing)
    return stretch(image, max(1, round(height * spacing[0] / side)), max(1, round(width * spacing[1] / side)))


def stretch(image: FloatImage, height: int, width: int) -> FloatImage:
    """Resize (H, W, C) or (H, W) to (height, width): area averaging down, linear interpolation up."""
    if image.shape[:2] == (height, width):
        return image
    method = cv2.INTER_AREA if height * width < image.shape[0] * image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.float32)


def resize(image: FloatImage, size: int) -> FloatImage:
    """Resize a square (S, S, C) or (S, S) to `size`, as `stretch`."""
    return stretch(image, size, size)


def fit_back(plane: FloatImage, height: int, width: int) -> FloatImage:
    """Undo `fit_to_grid` for one plane (S, S): back to (height, width), the padding cut off."""
    if plane.shape == (height, width):
        return plane
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return resize(plane, side)[top : top + height, left : left + width]
