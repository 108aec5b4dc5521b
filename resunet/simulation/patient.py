"""A simulated patient: the template's head in another shape, with or without a tumour, seen in axial slices."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from resunet.errors import InputError
from resunet.reading.scan import PLANES, Plane
from resunet.reading.sequences import SequenceName
from resunet.simulation.growth import FRONT, grow
from resunet.simulation.lesions import KINDS, T1CE_KINDS, Look
from resunet.simulation.masses import grow_mass
from resunet.simulation.noise import smooth_noise
from resunet.simulation.scanner import acquire
from resunet.simulation.template import FloatVoxels, flair_of, load_template, random_contrast, t2_of

WARP_SPACING = 10  # voxels between the points at which displacements are drawn
LEVELS = (-22, 45)  # millimetres from the head's centre up, between which tumours start
HALF_HEAD = (95, 115, 100)  # millimetres from the centre to the sides, to front and back, to foot and top
MIDLINE = 14  # millimetres from it at least


class Examination(NamedTuple):
    """images (I, J, K, 3) uint8 (pre-contrast, FLAIR, post-contrast) and the exact mask (I, J, K) bool; I right, J front."""

    images: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]


class Patient:
    """One head and its tumour; the same kind and seed give the same patient.

    Raises:
        InputError: `kind` is not one of KINDS, or the template is not installed.
    """

    def __init__(self, kind: str, seed: int) -> None:
        kinds = {**KINDS, **T1CE_KINDS}
        if kind not in kinds:
            raise InputError(f"There is no simulated kind '{kind}'; choose one of {', '.join(kinds)}.")
        self._rng = rng = np.random.default_rng([seed, [*sorted(KINDS), *sorted(T1CE_KINDS)].index(kind)])
        self._template = template = load_template()
        self._turn = _turn(rng)
        points = [side // WARP_SPACING + 2 for side in template.t1.shape]
        self._warps = [2.5 * smooth_noise(rng, points, 2.6) for _ in range(3)]
        self._texture = smooth_noise(rng, template.t1.shape, 3)
        self._fat = float(rng.uniform(1.0, 1.8))
        self._look: Look | None = None
        self._tail: FloatVoxels | None = None
        self._middle: npt.NDArray[np.float64] | npt.NDArray[np.int64]
        if (tumour := kinds[kind]) is not None:
            millilitres = float(rng.uniform(*tumour.millilitres))
            self._push = float(rng.uniform(*tumour.push))
            self._look = Look(tumour, float(rng.uniform(*tumour.contrast)), bool(rng.random() < tumour.enhancing))
            self._radius = (millilitres * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
            if tumour.is_solid:
                self._density, self._tail, self._middle = grow_mass(template, tumour.site, millilitres, rng)
            else:
                self._middle = start = self._start()
                self._density = grow(template, start, millilitres, rng)

    def examine(self, levels: npt.ArrayLike, size: tuple[int, int], pixel: float, thickness: int) -> Examination:
        """Axial slices of `size` pixels of `pixel` millimetres.

        Args:
            levels: millimetres from the head's centre up to the middle of each slice.
            thickness: whole millimetres that a slice averages.
        """
        across, along = (pixel * (np.arange(side, dtype=float) - (side - 1) / 2) for side in size)
        slices = []
        for level in np.asarray(levels, float):
            heights = level + np.arange(thickness) - (thickness - 1) / 2
            slices.append([part.mean(axis=-1) for part in self._render(_grid(across, along, heights))])
        sequences, mask = (np.stack(part, axis=-1) for part in zip(*slices, strict=True))
        return Examination(acquire(sequences, self._rng), mask >= 0.5)

    def examine_plane(self, plane: Plane, place: float, side: int, pixel: float, thickness: int) -> Examination:
        """One slice of `side` x `side` pixels in any plane, as images (side, side, 1, 3) and mask (side, side, 1).

        Args:
            plane: axial with I right and J front, coronal with I right and J head, sagittal with I front and J head.
            place: millimetres from the head's centre to the head, to the front, or to the right.
            thickness: whole millimetres that the slice averages.
        """
        within = pixel * (np.arange(side, dtype=float) - (side - 1) / 2)
        through = place + np.arange(thickness) - (thickness - 1) / 2
        axes = {"axial": (within, within, through), "coronal": (within, through, within), "sagittal": (through, within, within)}
        parts = [np.moveaxis(part, PLANES.index(plane) - 3, -1).mean(axis=-1) for part in self._render(_grid(*axes[plane]))]
        return Examination(acquire(parts[0][..., None], self._rng), parts[1][..., None] >= 0.5)

    def examine_all(self, pixel: float) -> tuple[dict[SequenceName, FloatVoxels], FloatVoxels]:
        """The whole head on a grid of `pixel` millimetres: signal (I, J, K) by sequence, and the brain (I, J, K) in [0, 1].

        "other" is a random order of fluid, grey and white matter that none of the four has.
        """
        axes = [np.arange(-half, half, pixel) for half in HALF_HEAD]
        points = _grid(*axes)
        (pre, flair, post), mask = self._render(points)
        voxels = self._where(points)
        t1 = np.clip(ndimage.map_coordinates(self._template.t1, voxels, order=1), 0, 2.4)
        brain = ndimage.map_coordinates(self._template.brain, voxels, order=1)
        t2 = t2_of(t1, brain, self._fat) + 0.3 * mask
        other = random_contrast(t1, brain, self._rng)
        return {"pre": pre, "flair": flair, "post": post, "t2": t2, "other": other}, brain

    def best_place(self, plane: Plane) -> float:
        """Millimetres from the head's centre along a plane's normal to where it cuts most tumour; 0 to 20 without one."""
        if self._look is None:
            return float(self._rng.uniform(0, 20))
        side, through = np.arange(-90, 90, 2.0), np.arange(-80, 80, 2.0)
        axes = {"axial": (side, side, through), "coronal": (side, through, side), "sagittal": (through, side, side)}
        density = ndimage.map_coordinates(self._density, self._where(_grid(*axes[plane])), order=1)
        others = tuple(axis for axis in range(3) if axis != PLANES.index(plane))
        return float(through[(density > FRONT).sum(axis=others).argmax()])

    def best_level(self) -> float:
        """Millimetres from the head's centre up to the plane that holds most tumour; without one, any that shows much brain."""
        if self._look is None:
            return float(self._rng.uniform(*LEVELS))
        side, heights = np.arange(-100, 100, 2.0), np.arange(-60, 70, 2.0)
        density = ndimage.map_coordinates(self._density, self._where(_grid(side, side, heights)), order=1)
        return float(heights[(density > FRONT).sum(axis=(0, 1)).argmax()])

    def _start(self) -> npt.NDArray[np.int64]:
        """A voxel of white matter, off the midline and deep enough for the tumour."""
        template, centre = self._template, self._template.centre
        voxels = np.argwhere((template.t1 > 0.85) & (template.depth > min(8 + 0.4 * self._radius, 20)))
        right, _, up = (voxels - centre).T
        voxels = voxels[(np.abs(right) > MIDLINE) & (up > LEVELS[0]) & (up < LEVELS[1])]
        return np.asarray(voxels[self._rng.integers(len(voxels))])

    def _where(self, points: FloatVoxels) -> FloatVoxels:
        """The template's voxels that lie at points (3, ...) in millimetres from this head's centre."""
        column = (3,) + (1,) * (points.ndim - 1)
        voxels = np.tensordot(self._turn, points, 1) + self._template.centre.reshape(column)
        coarse = voxels / WARP_SPACING
        voxels = voxels + np.stack([ndimage.map_coordinates(warp, coarse, order=3, mode="nearest") for warp in self._warps])
        if self._look is not None:
            away = voxels - self._middle.reshape(column)
            fading = np.exp(-(away**2).sum(axis=0) / (1.7 * self._radius) ** 2)
            inside = ndimage.map_coordinates(self._template.inside, voxels, order=1)
            voxels = voxels - away * self._push * fading * inside
        return np.asarray(voxels, np.float32)

    def _render(self, points: FloatVoxels) -> tuple[FloatVoxels, FloatVoxels]:
        """Sequences (3, ...) and mask (...) at points (3, ...) in millimetres from this head's centre."""
        voxels = self._where(points)
        template = self._template
        t1 = np.clip(ndimage.map_coordinates(template.t1, voxels, order=3), 0, 2.4)
        brain, texture = (ndimage.map_coordinates(map_, voxels, order=1) for map_ in (template.brain, self._texture))
        vessels = np.clip((t1 - 0.25) / 0.2, 0, 1) * np.clip(1 - np.abs(brain - 0.35) / 0.35, 0, 1)
        sequences = np.stack([0.62 * t1, flair_of(t1, brain, self._fat), 0.63 * t1 + 0.2 * vessels])
        mask = np.zeros_like(t1)
        if self._look is not None:
            density = ndimage.map_coordinates(self._density, voxels, order=1)
            density *= 1 if self._look.tumour.is_solid else brain
            if self._tail is not None:
                sequences[2] += 0.5 * ndimage.map_coordinates(self._tail, voxels, order=1)
            mask = self._look.paint(sequences, t1, density.astype(np.float32), texture)
        return sequences, mask


def _grid(*sides: npt.NDArray[np.floating[Any]]) -> FloatVoxels:
    return np.stack(np.meshgrid(*sides, indexing="ij")).astype(np.float32)


def _turn(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A small rotation and scaling (3, 3), half of the time with right and left swapped."""
    from scipy.spatial.transform import Rotation

    nod, tilt, twist = rng.uniform(-1, 1, 3) * (4, 3, 6)
    matrix = Rotation.from_euler("xyz", (nod, tilt, twist), degrees=True).as_matrix() * rng.uniform(0.94, 1.06, 3)
    if rng.random() < 0.5:
        matrix[0] *= -1
    return np.asarray(matrix, np.float32)
