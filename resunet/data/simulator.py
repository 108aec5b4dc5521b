"""MR-like slices with lesions and exact masks, drawn from the ICBM152 tissue maps that the nilearn wheel carries.

Maps: Fonov et al., NeuroImage 54 (2011), ICBM152 nonlinear 2009a, 1 mm. The pictures are a small share of training batches
and what the training replay shows; `resunet.data.phantom` draws more lifelike ones, but needs a head that pip cannot install.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from resunet.errors import InputError

Plane = npt.NDArray[np.float32]
SIZE = 256
AXIAL_RANGE = (58, 124)  # axial planes of the template that show enough brain


@dataclass(frozen=True)
class Lesion:
    """Ranges for one kind of lesion: radius in pixels, FLAIR contrast as a share of white matter."""

    radius: tuple[float, float]
    contrast: tuple[float, float]
    softness: float = 1.2
    cavity: bool = False
    rim: float = 0.0


KINDS: dict[str, Lesion | None] = {
    "none": None,
    "typical": Lesion((14, 26), (0.55, 0.95), rim=0.3),
    "large": Lesion((28, 42), (0.5, 0.9), rim=0.5),
    "small": Lesion((3.5, 6.0), (0.5, 0.9)),
    "faint": Lesion((12, 24), (0.18, 0.30), softness=4.0),
    "cavity": Lesion((16, 28), (0.5, 0.85), cavity=True),
}

# White matter, grey matter, cerebrospinal fluid, scalp fat, skull: pre-contrast, FLAIR, post-contrast.
TISSUE = np.array([[0.62, 0.46, 0.64], [0.47, 0.58, 0.50], [0.16, 0.10, 0.17], [0.95, 0.72, 0.95], [0.10, 0.09, 0.10]])


@dataclass(frozen=True)
class SimulatedSlice:
    """image (256, 256, 3) uint8 (pre-contrast, FLAIR, post-contrast) and its exact mask (256, 256) bool."""

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    kind: str
    seed: int


@cache
def _tissue_maps() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """White and grey matter probabilities, (197, 233, 189) float32."""
    try:
        from nilearn import datasets  # a development dependency, slow to import
    except ImportError:
        raise InputError("The simulator needs nilearn; install it with: pip install -r requirements-dev.txt") from None
    white = datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32)
    grey = datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32)
    return white, grey


def simulate(kind: str, seed: int) -> SimulatedSlice:
    """Draw one slice; the same kind and seed give the same pixels.

    Raises:
        InputError: `kind` is not one of KINDS, or nilearn is not installed.
    """
    if kind not in KINDS:
        raise InputError(f"There is no simulated kind '{kind}'; choose one of {', '.join(KINDS)}.")
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    tissue = _anatomy(rng)
    brain = tissue[:3].sum(axis=0) > 0.5
    channels = np.einsum("thw,tc->chw", tissue, TISSUE * rng.uniform(0.92, 1.08, TISSUE.shape))
    channels *= 1 + 0.025 * np.stack([_smooth_noise(rng, 5) for _ in range(3)])
    mask = np.zeros((SIZE, SIZE), bool)
    lesion = KINDS[kind]
    if lesion is not None:
        channels, mask = _add_lesion(channels, tissue, brain, lesion, rng)
    return SimulatedSlice(_acquire(channels, brain, rng), mask, kind, seed)


def _anatomy(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Soft maps (5, H, W) of white, grey, fluid, scalp and skull for a random, slightly deformed axial plane."""
    white, grey = _tissue_maps()
    level = int(rng.integers(*AXIAL_RANGE))
    planes = [np.rot90(volume[:, :, level]) for volume in (white, grey)]
    matrix, warp = _placement(planes[0].shape, rng), _deformation(rng)
    warped = []
    for plane in planes:
        placed = cv2.warpAffine(np.ascontiguousarray(plane), matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
        warped.append(np.clip(cv2.remap(placed, *warp, cv2.INTER_LINEAR), 0, 1))
    inside = ndimage.binary_fill_holes(cv2.GaussianBlur(warped[0] + warped[1], (0, 0), 2.5) > 0.25)
    inside = ndimage.binary_closing(inside, iterations=16)
    brain = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)
    fluid = np.clip(brain - warped[0] - warped[1], 0, 1)
    outside = np.asarray(cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    outside = outside + np.float32(1.5) * _smooth_noise(rng, 12)
    skull_width, scalp_width = rng.uniform(4, 7), rng.uniform(4, 8)
    skull = _band(outside, 0.5, skull_width)
    scalp = _band(outside, skull_width, skull_width + scalp_width)
    return np.stack([warped[0], warped[1], fluid, scalp, skull]).astype(np.float32)


def _band(distance: Plane, start: float, stop: float) -> Plane:
    """1 between two distances, with edges one pixel soft."""
    return np.asarray(np.clip(distance - start, 0, 1) * np.clip(stop - distance, 0, 1), np.float32)


def _placement(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """2x3 matrix that puts the template plane on the canvas, turned and scaled a little."""
    height, width = shape
    scale = 210 / height * rng.uniform(0.95, 1.12)
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-8, 8)), scale), np.float64)
    matrix[:, 2] += np.array([SIZE - width, SIZE - height]) / 2 + rng.uniform(-6, 6, 2)
    return matrix


def _deformation(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Smooth maps x, y for cv2.remap that move each point by a few pixels, so that no two heads are alike."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    return columns + 4 * _smooth_noise(rng, 30), rows + 4 * _smooth_noise(rng, 30)


def _smooth_noise(rng: np.random.Generator, sigma: float) -> Plane:
    """Gaussian noise (SIZE, SIZE) smoothed over `sigma` pixels, standard deviation 1."""
    step = max(1, int(sigma // 3))
    coarse = rng.standard_normal((SIZE // step + 1, SIZE // step + 1)).astype(np.float32)
    field = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), sigma / step), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field / (field.std() + 1e-6), np.float32)


def _add_lesion(
    channels: npt.NDArray[np.float64],
    tissue: npt.NDArray[np.float32],
    brain: npt.NDArray[np.bool_],
    lesion: Lesion,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Brighten FLAIR and darken T1 inside an irregular blob; returns channels and the blob without its cavity."""
    radius = rng.uniform(*lesion.radius)
    depth = cv2.distanceTransform(brain.astype(np.uint8), cv2.DIST_L2, 5)
    rows, columns = np.nonzero((depth > min(radius * 0.6, depth.max() * 0.7)) & (tissue[2] < 0.5))
    pick = int(rng.integers(len(rows)))
    shape = _blob((rows[pick], columns[pick]), radius, rng) * brain * (1 - 0.8 * tissue[2])
    mask = shape > 0.5
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), lesion.softness)
    contrast = rng.uniform(*lesion.contrast)
    texture = 1 + 0.12 * _smooth_noise(rng, 3)
    channels = channels.copy()
    channels[1] += soft * contrast * TISSUE[0, 1] * texture
    channels[[0, 2]] *= 1 - 0.45 * contrast * soft
    inner = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    if lesion.rim and rng.random() < lesion.rim:
        channels[2] += 0.35 * _band(inner, 1.0, 4.0) * texture
    if lesion.cavity:
        hole = inner > max(2.5, 0.35 * float(inner.max()))
        edge = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 0.8)
        channels = channels * (1 - edge) + TISSUE[2][:, None, None] * edge
        mask = mask & ~hole
    return channels, mask


def _blob(centre: tuple[int, int], radius: float, rng: np.random.Generator) -> Plane:
    """A soft irregular disc (SIZE, SIZE) in [0, 1] that crosses 0.5 near `radius`."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.7, 1.0)
    across, down = columns - centre[1], rows - centre[0]
    first = np.cos(angle) * across + np.sin(angle) * down
    second = (-np.sin(angle) * across + np.cos(angle) * down) / stretch
    edge = radius * (1 + 0.16 * _smooth_noise(rng, max(3.0, radius * 0.5)))
    return np.asarray(np.clip(0.5 + (edge - np.hypot(first, second)) / 2, 0, 1), np.float32)


def _acquire(
    channels: npt.NDArray[np.float64], brain: npt.NDArray[np.bool_], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """What the scanner adds: blur, a bias field, Rician noise, and each site's window onto 8 bits."""
    axis = np.linspace(-1, 1, SIZE)
    result = np.empty((SIZE, SIZE, 3), np.uint8)
    for channel in range(3):
        plane = cv2.GaussianBlur(channels[channel].astype(np.float32), (0, 0), float(rng.uniform(0.5, 0.9)))
        tilt = rng.uniform(-0.15, 0.15, 3)
        plane = plane * (1 + tilt[0] * axis[None, :] + tilt[1] * axis[:, None] + tilt[2] * np.outer(axis, axis))
        sigma = rng.uniform(0.012, 0.03)
        plane = np.hypot(plane + sigma * rng.standard_normal(plane.shape), sigma * rng.standard_normal(plane.shape))
        top = np.percentile(plane[brain], 99.5) * rng.uniform(1.0, 1.5)
        result[..., channel] = np.clip(plane / top * 255, 0, 255).astype(np.uint8)
    return result
