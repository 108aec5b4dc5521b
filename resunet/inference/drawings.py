"""Coloured lines, arrows and text on a grey picture are no anatomy: the networks do not see them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from resunet.data.transforms import FloatImage
from resunet.reading.scan import Array, spread_channel

LEFT_OUT = "Coloured drawings on the picture were left out of what the networks see."
WHITE = 255
GREY, COLOURED = 0.04, 0.15  # differences between channels, in shares of white
MOST = 0.3  # share of the grey head that drawings may cover
BETWEEN = 0.06  # share of the grey head that may be neither grey nor coloured, as around lines in a JPEG
RADIUS = 3  # pixels around a drawing that it is filled from


def without_drawings(image: Array) -> tuple[Array, bool]:
    """A slice (H, W, C) without what is drawn on it in colour, and whether there was anything.

    Three sequences as the channels of a slice are coloured nearly everywhere; those stay as they are.
    """
    drawn = _drawn_pixels(image)
    if drawn is None:
        return image, False
    grey = np.asarray(image, np.float32).mean(axis=2)
    low, high = float(grey.min()), float(grey.max())
    eight_bits = np.rint((grey - low) / (high - low) * 255).astype(np.uint8)
    filled = cv2.inpaint(eight_bits, drawn.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA)
    clean: FloatImage = np.where(drawn, filled / np.float32(255) * (high - low) + low, grey).astype(np.float32)
    return spread_channel(clean[..., None]), True


def _drawn_pixels(image: Array) -> npt.NDArray[np.bool_] | None:
    """Where something is drawn (H, W), with what its edges bleed into; None where nothing is."""
    if image.shape[2] != 3 or image.strides[2] == 0 or image.dtype != np.uint8:  # nobody draws on anything but 8-bit colours
        return None
    first, second, third = cv2.split(np.ascontiguousarray(image))
    brightest, darkest = cv2.max(cv2.max(first, second), third), cv2.min(cv2.min(first, second), third)
    difference = cv2.subtract(brightest, darkest).astype(np.float32) / WHITE
    mean = cv2.addWeighted(
        cv2.addWeighted(first, 0.5, second, 0.5, 0, dtype=cv2.CV_32F), 2 / 3, third.astype(np.float32), 1 / 3, 0
    )
    levels, counts = np.unique(np.concatenate((mean[0], mean[-1], mean[:, 0], mean[:, -1])), return_counts=True)
    background = np.abs(mean - levels[counts.argmax()]) <= GREY * WHITE
    coloured = difference > COLOURED
    grey = difference <= GREY
    head = grey & ~background & (mean > 0.1 * WHITE)
    between = ~grey & ~coloured
    if not coloured.any() or coloured.sum() > MOST * head.sum() or between.sum() > BETWEEN * head.sum() + coloured.sum():
        return None
    return cv2.dilate(coloured.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
