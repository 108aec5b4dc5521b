"""A head as X-rays would show it, with its tumour inside, seen from all sides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from resunet.charts.overlay import PREDICTED, Picture
from resunet.reading.scan import BoolMask

VOXEL_MM = 1.0  # of the grid that is turned
BACKGROUND = np.array([14, 21, 27], np.float32)  # the slideshow's
BONE = np.array([205, 220, 235], np.float32)  # bluish white
THICK = 30.0  # millimetres of tumour that hide about two thirds of what lies behind it


def turning_head(
    flair: npt.NDArray[np.generic], mask: BoolMask, sides: tuple[float, float, float], frames: int
) -> Iterator[Picture]:
    """Pictures (h, w, 3) of the head, turned once about its long axis; what lies in line of sight adds up.

    Args:
        flair: axial slices (D, H, W) from foot to head, front up.
        mask: (D, H, W), the tumour.
        sides: millimetres between slices, rows and columns.
    """
    scale = tuple(side / VOXEL_MM for side in sides)
    head = _square(ndimage.zoom(np.asarray(flair, np.float32), scale, order=1))
    tumour = _square(ndimage.zoom(mask.astype(np.float32), scale, order=1))
    brightest = float(np.percentile(head.mean(axis=1), 99.5)) or 1.0
    for frame in range(frames):
        angle = 360 * frame / frames
        turned, mass = (ndimage.rotate(part, angle, axes=(1, 2), reshape=False, order=1) for part in (head, tumour))
        grey = np.clip(turned.mean(axis=1) / brightest, 0, 1)[..., None]
        opacity = 1 - np.exp(-mass.sum(axis=1) * VOXEL_MM / THICK)[..., None]
        picture = BACKGROUND + grey * (BONE - BACKGROUND)
        picture += opacity * (np.array(PREDICTED, np.float32) - picture)
        yield np.clip(picture[::-1], 0, 255).astype(np.uint8)


def _square(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(D, H, W) padded so that it can be turned about its middle without losing anything."""
    side = int(np.ceil(np.hypot(*volume.shape[1:])))
    margins = [(0, 0)] + [((side - length) // 2, side - length - (side - length) // 2) for length in volume.shape[1:]]
    return np.pad(volume, margins)
