"""A glioma that grows: reaction and diffusion of tumour cells, faster along white matter than in grey.

Model: Swanson, Alvord and Murray, Cell Prolif 33:317 (2000); uneven diffusion gives the front its lobes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from resunet.simulation.noise import smooth_noise
from resunet.simulation.template import FloatVoxels, Template

REACH = 56  # voxels from the first cells within which the tumour stays
# A step's diffusion in white matter in mm2 (under 1/6, or the steps would not be stable), grey matter's share of it, and a
# step's proliferation.
DIFFUSION, GREY_SHARE, PROLIFERATION = 0.16, 0.08, 0.1
MAX_STEPS, LOOK_EVERY = 900, 4
FRONT = 0.5  # density at which the tumour's edge is taken


def grow(template: Template, start: npt.NDArray[np.int64], millilitres: float, rng: np.random.Generator) -> FloatVoxels:
    """Density of tumour cells in [0, 1] on the template's grid, grown from `start` until `millilitres` lie within the front."""
    low = np.maximum(start - REACH, 0)
    box = tuple(slice(first, last) for first, last in zip(low, start + REACH + 1, strict=True))
    t1, brain = template.t1[box], template.brain[box]
    white = np.clip((t1 - 0.75) / 0.2, 0, 1)
    grey = np.clip((t1 - 0.45) / 0.15, 0, 1)
    diffusion = DIFFUSION * brain * (GREY_SHARE * grey + (1 - GREY_SHARE) * white)
    diffusion *= np.clip(0.4 + 0.7 * smooth_noise(rng, t1.shape, 6), 0.02, 1)
    density = np.zeros_like(t1)
    density[tuple(slice(place - 1, place + 2) for place in start - low)] = 1
    for step in range(MAX_STEPS):
        density = np.clip(density + _diffused(density, diffusion) + PROLIFERATION * density * (1 - density), 0, 1)
        if step % LOOK_EVERY == 0 and (density > FRONT).sum() >= millilitres * 1000:
            break
    whole = np.zeros_like(template.t1)
    whole[box] = density
    return whole


def _diffused(density: FloatVoxels, diffusion: FloatVoxels) -> FloatVoxels:
    """div(D grad u) in one step; nothing leaves the box."""
    change = np.zeros_like(density)
    for axis in range(3):
        ahead = _along(axis, slice(1, None))
        here = _along(axis, slice(None, -1))
        flux = 0.5 * (diffusion[ahead] + diffusion[here]) * (density[ahead] - density[here])
        change[here] += flux
        change[ahead] -= flux
    return change


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if number == axis else slice(None) for number in range(3))
