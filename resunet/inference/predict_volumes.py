"""A case in, a mask on the same grid out: NIfTI files of one patient, or one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resunet.data.case import Role, assemble
from resunet.data.stack import stacked
from resunet.files import atomic_path, encode_mask
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.verdict import MANY, verdict_of
from resunet.inference.volume_pipeline import VolumePrediction, predict_volume
from resunet.reading.formats.nifti import nifti_on_grid
from resunet.reading.formats.segmentation import write_segmentation
from resunet.reading.names import MASK, stem_of
from resunet.reading.readers import read_dicom_series, read_scan, read_volume
from resunet.reading.volume_scan import Volume


def read_case(name: str, paths: Mapping[Role, Path]) -> Volume:
    """The files of a case as one volume. Raises InputError."""
    return assemble(name, {role: read_volume(path) for role, path in paths.items()})


def read_dicom_case(name: str, files: Sequence[Path]) -> Volume:
    """The files of a DICOM series as one volume. Raises InputError."""
    return assemble(name, {"flair": read_dicom_series({file.name: file for file in files}, name)})


def read_slices(name: str, files: Sequence[Path]) -> Volume:
    """One patient's slices from foot to head as one volume. Raises InputError."""
    return assemble(name, {"flair": stacked(name, [read_scan(file) for file in files])})


def content_of(prediction: VolumePrediction, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, Any]:
    """Verdict and figures of a volume as plain values. `mask` (D, H, W) is the prediction's."""
    judged = prediction.p_tumour[np.isfinite(prediction.p_tumour)]
    highest = float(judged.max()) if judged.size else math.nan
    voxels, sides = int(mask.sum()), prediction.volume.sides
    return {
        "verdict": verdict_of(voxels, highest, prediction.certain),
        "p_tumour": None if math.isnan(highest) else round(highest, 6),
        "gated": bool(judged.size) and bool((judged < prediction.gate).all()),
        "tumour_pixels": voxels,
        "volume_ml": round(voxels * math.prod(sides) / 1000, 3) if sides else None,
        "slices": len(mask),
        "tumour_slices": int(mask.any(axis=(1, 2)).sum()),
        "unlike_training": bool(judged.size) and bool(prediction.unlike_training.sum() > MANY * judged.size),
        "notes": list(prediction.notes),
    }


def segment_case(
    pipeline: TumourPipeline, volume: Volume, mask_path: Path, slices: list[Path], probability: bool, tta: bool
) -> dict[str, Any]:
    """Segment a volume and write its mask; returns what is said about it.

    Files are written when all are known: the mask (NIfTI of 0 and 1, or DICOM SEG), with `probability` the map beside it
    (0 to 1), and one PNG (0 and 255) for each axial slice, where there are paths for them. Raises InputError.
    """
    prediction = predict_volume(pipeline, volume, tta)
    mask = prediction.axial_mask
    content = content_of(prediction, mask)
    stored = volume.from_axial(mask)
    model = pipeline.stage_2.config.display_name
    files = {
        mask_path: write_segmentation(volume, stored, model)
        if volume.sources
        else nifti_on_grid(volume, stored.astype(np.uint8))
    }
    if probability:
        voxels = volume.from_axial(prediction.probability).astype(np.float32)
        stem = stem_of(mask_path.name).removesuffix(MASK)
        files[mask_path.with_name(f"{stem}_probability.nii.gz")] = nifti_on_grid(volume, voxels)
    files |= {path: encode_mask(plane) for path, plane in zip(slices, mask, strict=False)}
    for path, written in files.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(written)
    return content
