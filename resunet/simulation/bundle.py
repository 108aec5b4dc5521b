"""The bundled samples, drawn: slices over all difficulties, contrast-enhanced T1 in three planes, whole examinations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from resunet.data.samples import INDEX, SAMPLES, T1CE, VOLUMES
from resunet.files import write_bytes, write_text
from resunet.reading.formats.nifti import nifti_on_grid
from resunet.reading.scan import Plane
from resunet.reading.volume_scan import Volume
from resunet.simulation.patient import Patient

# Seeds were picked by eye for variety, some of them hard.
SLICES: dict[str, tuple[int, ...]] = {
    "typical": (7, 4, 12),
    "large": (2, 4, 11),
    "small": (2, 8, 10, 4, 12, 6),
    "faint": (6, 5, 11),
    "cavity": (4, 11, 6),
    "none": (10, 9, 12, 3, 5, 2),
}
T1CE_SLICES: dict[str, tuple[tuple[int, Plane], ...]] = {
    "meningioma_convexity": ((1, "axial"), (3, "sagittal")),
    "meningioma_falx": ((2, "coronal"),),
    "meningioma_sphenoid": ((2, "coronal"),),
    "glioma": ((1, "axial"), (2, "coronal"), (3, "sagittal")),
    "pituitary": ((8, "axial"), (6, "coronal")),
    "no_tumour": ((1, "axial"), (2, "coronal"), (3, "sagittal")),
}
EXAMINATIONS: dict[str, tuple[str, int, tuple[str, ...]]] = {  # kind, seed, and the sequences that are kept
    "tumour": ("large", 4, ("t1", "flair", "t1ce", "mask")),
    "healthy": ("none", 10, ("flair",)),
}
SIDE, PIXEL, THICKNESS, T1CE_THICKNESS = 256, 0.88, 4, 5  # of a slice: pixels, and millimetres
SIZE, LEVELS, DISTANCE = (192, 224), (-70, 92), 3  # of an examination: pixels of 1 mm, and millimetres from foot to head


def write_samples(folder: Path = SAMPLES) -> tuple[int, int]:
    """Simulate the chosen samples into `folder`: images/, masks/, index.csv and volumes/. Returns how many slices and volumes.

    Raises:
        InputError: the template is not installed.
    """
    rows = ["name,kind,seed,tumour_pixels"]
    for kind, seeds in SLICES.items():
        for number, seed in enumerate(seeds, start=1):
            patient = Patient(kind, seed)
            images, mask = patient.examine([patient.best_level()], (SIDE, SIDE), PIXEL, THICKNESS)
            _write_png(folder / "images" / f"{kind}_{number}.png", _upright(images[:, :, 0])[..., ::-1])
            _write_png(folder / "masks" / f"{kind}_{number}.png", _upright(mask[:, :, 0]).astype(np.uint8) * 255)
            rows.append(f"{kind}_{number},{kind},{seed},{int(mask.sum())}")
    write_text(folder / INDEX, "\n".join(rows) + "\n")
    slices = len(rows) - 1 + _write_t1ce_samples(folder / T1CE)
    for name, (kind, seed, endings) in EXAMINATIONS.items():
        levels = np.arange(LEVELS[0], LEVELS[1] + 1, DISTANCE)
        images, mask = Patient(kind, seed).examine(levels, SIZE, 1.0, DISTANCE)
        voxels = {"t1": images[..., 0], "flair": images[..., 1], "t1ce": images[..., 2], "mask": mask.astype(np.uint8)}
        affine = np.diag([1.0, 1.0, DISTANCE, 1.0])
        affine[:3, 3] = [-(SIZE[0] - 1) / 2, -(SIZE[1] - 1) / 2, LEVELS[0]]
        for ending in endings:
            _write_nifti(folder / VOLUMES / name / f"simulated_{name}_{ending}.nii.gz", voxels[ending], affine)
    return slices, len(EXAMINATIONS)


def _write_t1ce_samples(folder: Path) -> int:
    """Slices of contrast-enhanced T1 in three planes; returns how many."""
    rows = ["name,kind,plane,seed,tumour_pixels"]
    for kind, chosen in T1CE_SLICES.items():
        for seed, plane in chosen:
            name = f"{kind}_{plane}"
            patient = Patient(kind, seed)
            images, mask = patient.examine_plane(plane, patient.best_place(plane), SIDE, PIXEL, T1CE_THICKNESS)
            _write_png(folder / "images" / f"{name}.png", _upright(images[:, :, 0, 2]))
            _write_png(folder / "masks" / f"{name}.png", _upright(mask[:, :, 0]).astype(np.uint8) * 255)
            rows.append(f"{name},{kind},{plane},{seed},{int(mask.sum())}")
    write_text(folder / INDEX, "\n".join(rows) + "\n")
    return len(rows) - 1


def _upright(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(I, J, ...) as rows from the front, or the head, and columns from the patient's right, or the face."""
    return np.ascontiguousarray(plane.swapaxes(0, 1)[::-1, ::-1])


def _write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    write_bytes(path, encoded.tobytes())


def _write_nifti(path: Path, voxels: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]) -> None:
    content = nifti_on_grid(Volume(path.name, voxels[..., None], affine), voxels)
    write_bytes(path, content)
