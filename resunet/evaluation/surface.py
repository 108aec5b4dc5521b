"""Distances between outlines of masks, in pixels or, where their size is known, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from resunet.reading.scan import BoolMask

TOLERANCE_PX = 2.0


class SurfaceScores(NamedTuple):
    """hd95 in pixels or millimetres, and surface Dice in [0, 1]; both NaN where either mask is empty."""

    hd95: float
    surface_dice: float


def surface_scores(
    predicted: BoolMask, target: BoolMask, tolerance: float = TOLERANCE_PX, sides: Sequence[float] | None = None
) -> SurfaceScores:
    """95th percentile Hausdorff distance and surface Dice of two masks (H, W) or (D, H, W).

    An outline is the mask's pixels with a neighbour along an axis outside it. hd95 is the larger of the two directed 95th
    percentiles; surface Dice is the share of both outlines within `tolerance` of the other (Nikolov et al. 2018).

    Args:
        sides: of a pixel or voxel along each axis; distances and `tolerance` are in their unit, by default in pixels.
    """
    if not predicted.any() or not target.any():
        return SurfaceScores(float("nan"), float("nan"))
    (window,) = ndimage.find_objects((predicted | target).astype(np.uint8))
    first, second = _outline(predicted[window]), _outline(target[window])
    # float64 exact distances; both maps live on the masks' common bounding box only.
    to_second = ndimage.distance_transform_edt(~second, sides)[first]
    to_first = ndimage.distance_transform_edt(~first, sides)[second]
    hd95 = max(float(np.percentile(to_second, 95)), float(np.percentile(to_first, 95)))
    close = np.count_nonzero(to_second <= tolerance) + np.count_nonzero(to_first <= tolerance)
    return SurfaceScores(hd95, close / (to_second.size + to_first.size))


def _outline(mask: BoolMask) -> BoolMask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask))
