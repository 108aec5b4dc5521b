"""A head of glass with its tumour inside, seen from all sides: surfaces found by looking along the front axis, and shaded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from resunet.charts.overlay import PREDICTED, Picture
from resunet.reading.scan import BoolMask

VOXEL_MM = 1.0  # of the grid on which surfaces are looked for
BACKGROUND = np.array([14, 21, 27], np.float32)  # the slideshow's
GLASS = np.array([205, 220, 235], np.float32)  # bluish white
HEAD_LEVEL = 0.12  # share of the brightest above which a voxel is head
LIGHT = np.array([-0.4, -0.5, 0.77], np.float32)  # from the upper left, towards the viewer
FloatArray = npt.NDArray[np.float32]


def turning_head(
    flair: npt.NDArray[np.generic], mask: BoolMask, sides: tuple[float, float, float], frames: int
) -> Iterator[Picture]:
    """Pictures (h, w, 3) of the head, turned once about its long axis.

    Args:
        flair: axial slices (D, H, W) from foot to head, front up.
        mask: (D, H, W), the tumour.
        sides: millimetres between slices, rows and columns.
    """
    scale = tuple(side / VOXEL_MM for side in sides)
    smooth = ndimage.gaussian_filter(ndimage.zoom(np.asarray(flair, np.float32), scale, order=1), 1.2)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in smooth > HEAD_LEVEL * np.percentile(smooth, 99.9)])
    head = _square(ndimage.gaussian_filter(filled.astype(np.float32), 1.5))
    tumour = _square(ndimage.gaussian_filter(ndimage.zoom(mask.astype(np.float32), scale, order=1), 1.0))
    for frame in range(frames):
        angle = 360 * frame / frames
        yield _look(*(ndimage.rotate(part, angle, axes=(1, 2), reshape=False, order=1) for part in (head, tumour)))


def _square(volume: FloatArray) -> FloatArray:
    """(D, H, W) padded so that it can be turned about its middle without losing anything."""
    side = int(np.ceil(np.hypot(*volume.shape[1:])))
    margins = [(0, 0)] + [((side - length) // 2, side - length - (side - length) // 2) for length in volume.shape[1:]]
    return np.pad(volume, margins)


def _look(head: FloatArray, tumour: FloatArray) -> Picture:
    """Along the rows of (D, H, W), from the face: (D, W, 3), the top of the head up."""
    is_head, head_normal = _surface(head)
    is_tumour, tumour_normal = _surface(tumour)
    picture = np.broadcast_to(BACKGROUND, (*is_head.shape, 3)).copy()
    lit = 0.35 + 0.65 * np.clip(tumour_normal @ LIGHT, 0, 1)
    picture[is_tumour] = lit[is_tumour, None] * np.array(PREDICTED, np.float32)
    rim = 1 - np.clip(head_normal[..., 2], 0, 1)  # glass shows where it is seen edge-on
    shine = np.clip(head_normal @ LIGHT, 0, 1)
    share = np.where(is_head, np.clip(0.12 + 0.6 * rim**1.5 + 0.22 * shine**3, 0, 0.85), 0)[..., None]
    picture = picture * (1 - share) + share * (0.4 + 0.6 * shine)[..., None] * GLASS
    return np.clip(picture[::-1], 0, 255).astype(np.uint8)


def _surface(volume: FloatArray) -> tuple[BoolMask, FloatArray]:
    """Where something is hit along the rows (D, W), and the normals (D, W, 3) there: right, down, towards the viewer."""
    inside = volume > 0.5
    hit: BoolMask = np.asarray(inside.any(axis=1))
    depth = np.where(hit, inside.argmax(axis=1), np.nan)
    background = float(np.nanmax(depth)) if hit.any() else 0.0
    slope_down, slope_right = np.gradient(ndimage.gaussian_filter(np.nan_to_num(depth, nan=background), 1.5))
    normal = np.stack([slope_right, -slope_down, np.ones_like(slope_right)], axis=-1)
    return hit, np.asarray(normal / np.linalg.norm(normal, axis=-1, keepdims=True), np.float32)
