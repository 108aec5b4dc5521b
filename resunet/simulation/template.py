"""The Colin27 head: T1 with scalp and skull, its brain, and what its tissues look like in the other sequences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from resunet.errors import InputError

FloatVoxels = npt.NDArray[np.float32]
TEMPLATES = Path("/usr/share/mricron/templates")  # of Debian's package mricron-data
HEAD, BRAIN = "ch2.nii.gz", "ch2bet.nii.gz"
WHITE_MATTER = 113.0  # its grey value in the template
# FLAIR by T1, both in shares of what is brightest: in the brain fluid, grey and white matter; around it air, bone, muscle, fat.
IN_BRAIN = ([0.0, 0.30, 0.50, 0.73, 0.85, 1.0, 1.15], [0.03, 0.07, 0.30, 0.60, 0.57, 0.50, 0.47])
AROUND_BRAIN = ([0.0, 0.15, 0.5, 0.9, 1.5, 2.3], [0.0, 0.02, 0.20, 0.38, 0.62, 0.80])
T2_IN_BRAIN = ([0.0, 0.30, 0.50, 0.73, 0.85, 1.0, 1.15], [1.0, 0.95, 0.75, 0.56, 0.48, 0.37, 0.33])
T2_AROUND_BRAIN = ([0.0, 0.15, 0.5, 0.9, 1.5, 2.3], [0.0, 0.05, 0.25, 0.30, 0.50, 0.55])


@dataclass(frozen=True)
class Template:
    """(181, 217, 181) voxels of 1 mm that run to the right, the front and the head.

    Attributes:
        t1: float32, 1 in white matter.
        brain: float32, 1 in the brain and 0 around it.
        depth: float32, millimetres into the brain from its surface; 0 outside.
        inside: float32, 1 well inside the brain, falling smoothly to 0 at its surface.
    """

    t1: FloatVoxels
    brain: FloatVoxels
    depth: FloatVoxels
    inside: FloatVoxels

    @property
    def centre(self) -> npt.NDArray[np.float32]:
        """The voxel about which heads are turned and scaled, inside the third ventricle."""
        return np.array([90, 113, 80], np.float32)


@cache
def load_template(folder: Path = TEMPLATES) -> Template:
    """Read the head. Raises InputError where it is not installed."""
    try:
        t1, brain = (_voxels(folder / name) for name in (HEAD, BRAIN))
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or folder} is missing; install Debian's package mricron-data.") from None
    solid = ndimage.binary_fill_holes(ndimage.binary_opening(brain > 0))
    depth = ndimage.distance_transform_edt(solid).astype(np.float32)
    inside = ndimage.gaussian_filter((depth > 2).astype(np.float32), 2.5)
    return Template(t1 / np.float32(WHITE_MATTER), solid.astype(np.float32), depth, inside)


def _voxels(path: Path) -> FloatVoxels:
    image = nibabel.load(path)
    assert isinstance(image, nibabel.Nifti1Image)
    return image.get_fdata(dtype=np.float32)


def flair_of(t1: FloatVoxels, brain: FloatVoxels, fat: float) -> FloatVoxels:
    """FLAIR of the same tissue: fluid dark, grey matter a little above white matter.

    Args:
        fat: how bright what lies around the brain is, 1 as in the brain.
    """
    return np.asarray(brain * np.interp(t1, *IN_BRAIN) + (1 - brain) * fat * np.interp(t1, *AROUND_BRAIN), np.float32)


def t2_of(t1: FloatVoxels, brain: FloatVoxels, fat: float) -> FloatVoxels:
    """T2 of the same tissue: fluid bright, grey matter above white matter; `fat` as in `flair_of`."""
    around = (1 - brain) * fat * np.interp(t1, *T2_AROUND_BRAIN)
    return np.asarray(brain * np.interp(t1, *T2_IN_BRAIN) + around, np.float32)


def random_contrast(t1: FloatVoxels, brain: FloatVoxels, rng: np.random.Generator) -> FloatVoxels:
    """The same tissue as diffusion, its coefficient or a negative might show it; drawn by chance."""
    grey = rng.uniform(0.5, 0.9)
    curves = (
        ([0.0, 0.30, 0.73, 1.0, 1.15], [0.05, 0.15, grey, grey * 0.8, grey * 0.8]),  # diffusion-weighted
        ([0.0, 0.30, 0.73, 1.0, 1.15], [1.0, 0.95, 0.40, 0.36, 0.34]),  # its coefficient: grey and white matter alike
        ([0.0, 0.30, 0.73, 1.0, 1.15], [1.0, 0.75, 0.45, 0.2, 0.1]),  # a negative of T1
    )
    kind = int(rng.integers(len(curves)))
    around = [0.0, rng.uniform(0, 0.1), rng.uniform(0, 0.4)] if kind < 2 else [1.0, 0.6, 0.1]
    outside = np.interp(t1, [0.0, 0.5, 2.0], around)
    return np.asarray(brain * np.interp(t1, *curves[kind]) + (1 - brain) * outside, np.float32)
