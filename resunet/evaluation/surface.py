"""Distances between outlines, in pixels: the data set's files carry no spacing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from resunet.data.scan import BoolMask

CROSS = ndimage.generate_binary_structure(2, 1)
TOLERANCE_PX = 2.0


class SurfaceScores(NamedTuple):
    """hd95 in pixels and surface Dice in [0, 1]; both NaN where either mask is empty."""

    hd95: float
    surface_dice: float


def surface_scores(predicted: BoolMask, target: BoolMask, tolerance: float = TOLERANCE_PX) -> SurfaceScores:
    """95th percentile Hausdorff distance and surface Dice of two masks (H, W).

    An outline is the mask's pixels with a 4-neighbour outside it. hd95 is the larger of the two directed 95th
    percentiles; surface Dice is the share of both outlines within `tolerance` pixels of the other (Nikolov et al. 2018).
    """
    if not predicted.any() or not target.any():
        return SurfaceScores(float("nan"), float("nan"))
    window = _window(predicted | target)
    first, second = _outline(predicted[window]), _outline(target[window])
    # float64 exact distances; both maps live on the masks' common bounding box only.
    to_second = ndimage.distance_transform_edt(~second)[first]
    to_first = ndimage.distance_transform_edt(~first)[second]
    hd95 = max(float(np.percentile(to_second, 95)), float(np.percentile(to_first, 95)))
    close = np.count_nonzero(to_second <= tolerance) + np.count_nonzero(to_first <= tolerance)
    return SurfaceScores(hd95, close / (to_second.size + to_first.size))


def _window(mask: BoolMask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _outline(mask: BoolMask) -> BoolMask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask, CROSS))
