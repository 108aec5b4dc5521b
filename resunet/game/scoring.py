"""What a player drew, checked and scored like a network's mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from resunet.errors import InputError
from resunet.evaluation.overlap import count_pixels, dice
from resunet.reading.scan import BoolMask

Outline = npt.NDArray[np.float32]
MOST_POINTS = 1000


def checked_outline(points: Any) -> Outline:
    """What a browser sent as an outline (N, 2), in shares of width and height; N is 0 where it says that there is no tumour.

    Raises:
        InputError: anything else than up to MOST_POINTS pairs of finite numbers.
    """
    try:
        outline = np.asarray(points, np.float32).reshape(-1, 2)
    except (TypeError, ValueError):
        raise InputError("An outline is a list of points, each two numbers.") from None
    if len(outline) > MOST_POINTS or not np.isfinite(outline).all():
        raise InputError(f"An outline has at most {MOST_POINTS} points, each two finite numbers.")
    return np.clip(outline, 0, 1)


def filled(outline: Outline, shape: tuple[int, int]) -> BoolMask:
    """The mask (H, W) inside an outline; fewer than three points enclose nothing."""
    mask = np.zeros(shape, np.uint8)
    if len(outline) >= 3:
        corners = np.round(outline * (shape[1], shape[0]) - 0.5).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1)
    return mask.astype(bool)


def score(mask: BoolMask, truth: BoolMask) -> float:
    """Dice of two masks (H, W), 1 where both are empty."""
    tp, fp, fn, _ = count_pixels(mask[None], truth[None])
    return float(dice(tp, fp, fn, empty=1.0)[0])


def outlines_of(mask: BoolMask) -> list[list[list[float]]]:
    """The outlines of a mask (H, W), each as points in shares of width and height."""
    height, width = mask.shape
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [((outline[:, 0] + 0.5) / (width, height)).round(4).tolist() for outline in found]
