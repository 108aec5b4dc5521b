"""A volume in, a mask on the same grid out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resunet.errors import InputError
from resunet.files import encode_mask, write_together
from resunet.inference.gate import is_below_gate
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.verdict import MANY, headline_of_volume
from resunet.inference.volume_pipeline import VolumePrediction, predict_volume
from resunet.reading.formats.nifti import nifti_on_grid
from resunet.reading.formats.segmentation import write_segmentation
from resunet.reading.scan import BoolMask
from resunet.reading.volume_scan import Volume


def content_of(prediction: VolumePrediction, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, Any]:
    """Verdict and figures of a volume as plain values. `mask` (D, H, W) is the prediction's."""
    judged = prediction.p_tumour[np.isfinite(prediction.p_tumour)]
    highest = float(judged.max()) if judged.size else math.nan
    voxels = int(mask.sum())
    millilitres = prediction.volume.millilitres
    return {
        "verdict": headline_of_volume(mask, prediction.p_tumour, prediction.stage_1_threshold),
        "p_tumour": None if math.isnan(highest) else round(highest, 6),
        "gated": bool(judged.size) and bool(is_below_gate(judged, prediction.gate).all()),
        "tumour_pixels": voxels,
        "volume_ml": round(voxels * millilitres, 3) if millilitres else None,
        "slices": len(mask),
        "tumour_slices": int(mask.any(axis=(1, 2)).sum()),
        "unlike_training": bool(judged.size) and bool(prediction.unlike_training.sum() > MANY * judged.size),
        "notes": list(prediction.notes),
    }


def segment_case(
    pipeline: TumourPipeline, volume: Volume, paths: Sequence[Path], slices: Sequence[Path], tta: bool
) -> dict[str, Any]:
    """Segment a volume and write its mask; returns what is said about it.

    Files are written when all are known: the mask (NIfTI of 0 and 1, or DICOM SEG) to the first of `paths`, the probability
    map (0 to 1) to the second, where there is one, and one PNG (0 and 255) for each axial slice to `slices`, where there are
    any. Where headers do not allow for a SEG, the mask is NIfTI with a note. Raises InputError.
    """
    prediction = predict_volume(pipeline, volume, tta)
    mask = prediction.axial_mask
    content = content_of(prediction, mask)
    path, written, note = _mask_file(pipeline, volume, volume.from_axial(mask), paths[0])
    content["notes"] += [note] if note else []
    files = {path: written}
    for path in paths[1:]:
        files[path] = nifti_on_grid(volume, volume.from_axial(prediction.probability).astype(np.float32))
    files |= {path: encode_mask(plane) for path, plane in zip(slices, mask, strict=False)}
    write_together(files)
    return content


def without_segmentation(path: Path) -> Path:
    """Where a mask goes that could be no DICOM SEG."""
    return path.with_name(f"{path.name.removesuffix('.dcm').removesuffix('.nii.gz')}.nii.gz")


def _mask_file(pipeline: TumourPipeline, volume: Volume, stored: BoolMask, path: Path) -> tuple[Path, bytes, str]:
    """The mask (I, J, K) as a file: its path, its bytes, and a note where it could not be what `path` says."""
    if volume.sources:
        try:
            config = pipeline.stage_2.config
            return path, write_segmentation(volume, stored, config.display_name, config.data_set.sequence), ""
        except InputError as error:
            path = without_segmentation(path)
            return path, nifti_on_grid(volume, stored.astype(np.uint8)), f"{error} The mask is {path.name}."
    return path, nifti_on_grid(volume, stored.astype(np.uint8)), ""
