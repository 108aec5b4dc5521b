"""Smooth random fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], sigma: float) -> npt.NDArray[np.float32]:
    """Gaussian noise smoothed over `sigma` voxels: mean about 0, standard deviation about 1."""
    step = max(1, int(sigma // 2))
    coarse = rng.standard_normal([-(-side // step) + 1 for side in shape]).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, sigma / step)
    coarse /= coarse.std() + np.float32(1e-6)
    if step == 1:
        return np.asarray(coarse[tuple(slice(side) for side in shape)])
    points = np.meshgrid(*(np.arange(side, dtype=np.float32) / step for side in shape), indexing="ij")
    return np.asarray(ndimage.map_coordinates(coarse, points, order=1), np.float32)
