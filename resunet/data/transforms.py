"""Preprocessing shared by training and pipeline: robust normalisation of a slice, and fitting it to the model's grid."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]

NORMALISATION = "foreground median and interquartile range per channel, clipped to [-4, 6]"
LOW, HIGH = -4.0, 6.0
FOREGROUND = 0.08  # share of the 99th percentile under which a pixel counts as air


def normalise(image: npt.NDArray[np.generic]) -> FloatImage:
    """Scale each channel of one slice so that tissue has median 0 and interquartile range 1.

    Sites window their scans differently (skull fat at 255 and brain at 40, say), and single bright structures move a
    mean or a maximum; the median and quartiles of the foreground do not follow them. Any gain or offset that a scanner
    applies cancels out, apart from the air threshold.

    Args:
        image: (H, W, C), any real dtype, any range.

    Returns:
        (H, W, C) float32 in [-4, 6]; a channel without contrast is 0 everywhere.
    """
    pixels = np.asarray(image, dtype=np.float32)
    result = np.zeros_like(pixels)
    for channel in range(pixels.shape[2]):
        plane = pixels[..., channel]
        # Every second pixel both ways gives the same quartiles to within a grey level at a quarter of the time.
        sample = plane[::2, ::2] if min(plane.shape) >= 64 else plane
        floor = float(sample.min())
        foreground = sample[sample - floor > FOREGROUND * (np.percentile(sample, 99) - floor)]
        if foreground.size < 16:
            continue
        first, median, third = np.percentile(foreground, (25, 50, 75))
        spread = float(third - first)
        if spread <= 1e-6 * max(abs(float(median)), 1e-6):
            continue
        result[..., channel] = (plane - median) / spread
    return np.clip(result, LOW, HIGH)


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


def resize(image: FloatImage, size: int) -> FloatImage:
    """Resize (S, S, C) or (S, S) to `size`: area averaging down, linear interpolation up."""
    if image.shape[0] == size:
        return image
    method = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=method), dtype=np.float32)


def fit_back(plane: FloatImage, height: int, width: int) -> FloatImage:
    """Undo `fit_to_grid` for one plane (S, S): back to (height, width), the padding cut off."""
    if plane.shape == (height, width):
        return plane
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return resize(plane, side)[top : top + height, left : left + width]
