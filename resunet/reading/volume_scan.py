"""A volume: voxels on a grid in space, and the way to the axial slices that the networks see and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from resunet.reading.scan import Array, FloatArray
from resunet.reading.sequences import SequenceName


@dataclass(frozen=True)
class Volume:
    """Voxels and where they lie.

    Attributes:
        name: what to call it.
        voxels: (I, J, K, C) as stored, real and finite.
        affine: (4, 4), from voxel indices to millimetres that run to the patient's right, front and head.
        sides: millimetres of a voxel along I, J and K, where the file says so plausibly.
        is_oriented: whether the file says how the patient lies.
        notes: sentences about what was done to make it fit.
        header: of a NIfTI file, for what is written on the same grid.
        modality: as DICOM abbreviates it ("MR", "CT"), where the file says so.
        sources: of a DICOM series, for each slice along K its data set and the number of its frame there.
        gaps: numbers of axial slices before which others are missing.
        sequence: of numbered slices, which their headers say that they are.
    """

    name: str
    voxels: Array
    affine: FloatArray
    sides: tuple[float, float, float] | None = None
    is_oriented: bool = True
    notes: tuple[str, ...] = ()
    header: Any = None
    modality: str | None = None
    sources: tuple[tuple[Any, int], ...] = ()
    gaps: tuple[int, ...] = ()
    sequence: SequenceName | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each stored axis."""
        return self.voxels.shape[0], self.voxels.shape[1], self.voxels.shape[2]

    @property
    def skew(self) -> float:
        """Space that a voxel takes over that of a box with its sides; 1 unless the axes are not at right angles."""
        return float(abs(np.linalg.det(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))))

    @property
    def millilitres(self) -> float | None:
        """That a voxel takes, where the file says how large it is."""
        return math.prod(self.sides) * self.skew / 1000 if self.sides else None

    @property
    def corners(self) -> FloatArray:
        """Millimetres (2, 2, 2, 3) of the outer corners, from the patient's left, back and foot to right, front and head."""
        from nibabel.orientations import inv_ornt_aff, io_orientation

        turned = self.affine @ inv_ornt_aff(io_orientation(self.affine), self.shape)
        ends = np.meshgrid(*((-0.5, side - 0.5) for side in self._canonical_shape), indexing="ij")
        return np.asarray(np.stack(ends, axis=-1) @ turned[:3, :3].T + turned[:3, 3])

    @property
    def _canonical_shape(self) -> tuple[int, int, int]:
        from nibabel.orientations import io_orientation

        right, front, head = np.argsort(io_orientation(self.affine)[:, 0]).tolist()
        return self.shape[right], self.shape[front], self.shape[head]

    @property
    def axial_shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns that `axial` gives."""
        width, height, depth = self._canonical_shape
        return depth, height, width

    def axial(self) -> Array:
        """Slices (D, H, W, C) from foot to head, front up, the patient's right on the left."""
        from nibabel.orientations import apply_orientation, io_orientation

        canonical = apply_orientation(self.voxels, io_orientation(self.affine))
        return np.asarray(canonical[::-1, ::-1].transpose(2, 1, 0, 3))

    def from_axial(self, planes: Array) -> Array:
        """The inverse of `axial` for planes (D, H, W): (I, J, K)."""
        from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

        canonical = planes.transpose(2, 1, 0)[::-1, ::-1]
        back = ornt_transform(axcodes2ornt("RAS"), io_orientation(self.affine))
        return np.ascontiguousarray(apply_orientation(canonical, back))

    @property
    def axial_sides(self) -> tuple[float, float, float] | None:
        """Millimetres between axial slices, between their rows and between their columns."""
        from nibabel.orientations import io_orientation

        if self.sides is None:
            return None
        right, front, head = np.argsort(io_orientation(self.affine)[:, 0]).tolist()  # the stored axis of each
        return self.sides[head], self.sides[front], self.sides[right]

    @property
    def axial_depth(self) -> int:
        """How many slices `axial` gives."""
        return self.axial_shape[0]

    @property
    def axes(self) -> str:
        """Which way the stored axes run, as "LPS"; empty where the file does not say."""
        from nibabel.orientations import aff2axcodes

        return "".join(aff2axcodes(self.affine)) if self.is_oriented else ""
