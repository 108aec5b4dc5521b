"""Tumours with a sharp edge: meningiomas on the brain's hull and tumours of the pituitary gland."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from resunet.simulation.noise import smooth_noise
from resunet.simulation.template import FloatVoxels, Template

Site = Literal["white matter", "convexity", "falx", "sphenoid", "sella"]
SELLA, SPHENOID = (0, 19, -40), (36, 22, -30)  # millimetres to the right, the front and the head from the template's centre
OUTSIDE = 2.0  # millimetres that a meningioma reaches beyond the brain's surface
EDGE = 1.5  # millimetres over which a mass fades
TAIL_LENGTH, TAIL_WIDTH = 16.0, 1.3  # millimetres: the dura that enhances beside a meningioma


class Mass(NamedTuple):
    """On the template's grid: density in [0, 1], the dural tail in [0, 1], and the voxel of the middle."""

    density: FloatVoxels
    tail: FloatVoxels
    middle: npt.NDArray[np.float64]


def grow_mass(template: Template, site: Site, millilitres: float, rng: np.random.Generator) -> Mass:
    """A lobed ball at a site: inside the skull's hull for meningiomas, and taller than wide in the sella."""
    radius = (millilitres * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    outside = ndimage.distance_transform_edt(template.brain == 0).astype(np.float32)
    surface = template.depth - outside  # millimetres into the brain, negative around it
    middle = _middle(template, site, radius, rng)
    stretch = np.array([0.85, 0.85, 1.35] if site == "sella" else rng.uniform(0.85, 1.15, 3))
    places = np.stack(np.meshgrid(*(np.arange(side) for side in template.t1.shape), indexing="ij")).astype(np.float32)
    away = np.sqrt((((places - middle.reshape(3, 1, 1, 1)) / stretch.reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    lobes = 1 + 0.09 * smooth_noise(rng, template.t1.shape, 7)
    beyond = away * lobes - radius  # millimetres outside the ball
    if site != "sella":
        beyond = np.maximum(beyond, -surface - OUTSIDE)
    density = np.clip(0.5 - beyond / (2 * EDGE), 0, 1).astype(np.float32)
    if site == "sella":
        return Mass(density, np.zeros_like(density), middle)
    on_dura = np.clip(1 - np.abs(surface + OUTSIDE / 2) / TAIL_WIDTH, 0, 1)
    tail = on_dura * np.clip(1 - np.maximum(away - radius, 0) / TAIL_LENGTH, 0, 1) * (away < radius + TAIL_LENGTH)
    return Mass(density, tail.astype(np.float32), middle)


def _middle(template: Template, site: Site, radius: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    side = float(rng.choice([-1, 1]))
    if site == "sella":
        return template.centre + np.array(SELLA) + (0, 0, 0.35 * radius)
    if site == "sphenoid":
        return template.centre + np.array(SPHENOID) * (side, 1, 1)
    if site == "falx":
        return template.centre + np.array([side * 0.9 * radius, rng.uniform(-45, 45), rng.uniform(38, 52) - 0.3 * radius])
    voxels = np.argwhere((template.depth > 0) & (template.depth < 1.5))
    right, _, up = (voxels - template.centre).T
    voxels = voxels[(np.abs(right) > 28) & (up > 12)]
    start = voxels[rng.integers(len(voxels))].astype(float)
    inward = template.centre - start
    return np.asarray(start + 0.75 * radius * inward / np.linalg.norm(inward))
