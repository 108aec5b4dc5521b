"""What a person takes away from one volume: figures by slice, how far the threshold moves them, the JSON report."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.charts.overlay import PREDICTED, outline, render
from resunet.evaluation.regions import measure_regions
from resunet.inference.volume_pipeline import VolumePrediction
from resunet.reading.scan import BoolMask
from resunet.reports.one_page import one_page

PICTURE = 420  # pixels, on a page
SPREAD = 0.15  # by which the threshold is moved either way for the interval of a volume


def volume_interval(prediction: VolumePrediction) -> tuple[float, float] | None:
    """Millilitres of the mask at a threshold SPREAD higher and SPREAD lower; None without voxel sizes."""
    millilitres = prediction.volume.millilitres
    if millilitres is None:
        return None
    thresholds = (min(prediction.threshold + SPREAD, 0.99), max(prediction.threshold - SPREAD, 0.01))
    low, high = (int(prediction.with_threshold(threshold).axial_mask.sum()) * millilitres for threshold in thresholds)
    return low, high


def slices_table(prediction: VolumePrediction, mask: BoolMask) -> pd.DataFrame:
    """One row per axial slice, from the foot: slice (from 1), p_tumour, tumour_pixels, area_mm2, diameter_mm (NaN without)."""
    sides = prediction.volume.axial_sides
    areas = mask.sum(axis=(1, 2))
    table = pd.DataFrame({"slice": np.arange(1, len(mask) + 1), "p_tumour": prediction.p_tumour, "tumour_pixels": areas})
    if not sides:
        return table.assign(area_mm2=np.nan, diameter_mm=np.nan)
    spacing = sides[1], sides[2]
    diameters = [float(measure_regions(plane, spacing)["diameter_mm"].max()) if plane.any() else 0.0 for plane in mask]
    return table.assign(area_mm2=areas * spacing[0] * spacing[1], diameter_mm=diameters)


def volume_report(content: dict[str, Any], prediction: VolumePrediction, model: str, table: pd.DataFrame) -> str:
    """Everything about one volume as JSON.

    Args:
        content: verdict and figures, as `resunet predict` prints them.
        table: a `slices_table`.
    """
    largest = float(table["diameter_mm"].max())
    report = {
        "model": model,
        "research_use_only": True,
        **content,
        "volume_ml_interval": volume_interval(prediction),
        "largest_diameter_mm": round(largest, 1) if math.isfinite(largest) else None,
        "threshold": prediction.threshold,
        "gate": prediction.gate,
        "postprocessing": asdict(prediction.clean_up),
        "voxel_mm": prediction.volume.sides,
        "by_slice": json.loads(table.to_json(orient="records")),
    }
    return json.dumps(report, indent=2)


def volume_page(content: dict[str, Any], prediction: VolumePrediction, model: str, planes: npt.NDArray[np.generic]) -> str:
    """One page about a volume, for paper: HTML.

    Args:
        content: verdict and figures, as `resunet predict` prints them, and the name of the case.
        model: what people read for it.
        planes: axial slices (D, H, W, 3).
    """
    mask = prediction.axial_mask
    pictures = [
        (outline(render(planes[at], PICTURE), mask[at], PREDICTED), f"Axial slice {at + 1} of {len(mask)}")
        for at in shown_slices(mask)
    ]
    interval = volume_interval(prediction)
    spread = f" ({interval[0]:.1f} to {interval[1]:.1f} ml at the threshold ± {SPREAD})" if interval else ""
    size = f"{content['tumour_pixels']:,} voxels" if content["volume_ml"] is None else f"{content['volume_ml']:.1f} ml{spread}"
    facts = {"Volume": size, "Model": model, "Threshold": f"{prediction.threshold:.2f}"}
    figures = f"{content['tumour_slices']:,} of {content['slices']:,} slices."
    return one_page(str(content["case"]), content["verdict"], figures, pictures, facts, content["notes"])


def shown_slices(mask: BoolMask) -> list[int]:
    """Up to three slices of a mask (D, H, W): the one that shows most of it, and one below and above; else the middle one."""
    areas = mask.sum(axis=(1, 2))
    if not areas.any():
        return [len(mask) // 2]
    widest, step = int(areas.argmax()), max(1, int((areas > 0).sum()) // 4)
    return sorted({max(0, widest - step), widest, min(len(mask) - 1, widest + step)})
