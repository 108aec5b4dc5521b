"""From a probability map to a mask: threshold, then leave out components that are too small to believe."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from resunet.model_folder import CleanUp


def to_mask(probability: npt.NDArray[np.float32], threshold: float, clean_up: CleanUp) -> npt.NDArray[np.bool_]:
    """Pixels (H, W) of at least `threshold`, cleaned up."""
    mask = probability >= threshold
    if not (clean_up.min_area > 1 or clean_up.largest_only) or not mask.any():
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= max(1, clean_up.min_area)
    if clean_up.largest_only:
        keep &= np.arange(len(areas)) == areas.argmax()
    return np.asarray(keep[labels])
