"""What a person takes away from one slice: the scores against a known mask, the regions, the JSON report."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from resunet.evaluation.overlap import count_pixels, dice, iou, ratio
from resunet.evaluation.regions import measure_regions
from resunet.inference.pipeline import Prediction
from resunet.inference.verdict import verdict
from resunet.reading.scan import BoolMask

IN_PIXELS = "In pixels: this file does not say how large a pixel is."


class Scores(NamedTuple):
    """Overlap with the true mask in one slice; NaN where a denominator is 0."""

    dice: float
    iou: float
    precision: float
    recall: float


def score_slice(predicted: BoolMask, truth: BoolMask) -> Scores:
    """Scores of a mask (H, W) against the truth; Dice and IoU are NaN where both are empty."""
    tp, fp, fn, _ = count_pixels(predicted[None], truth[None])
    values = dice(tp, fp, fn), iou(tp, fp, fn), ratio(tp, tp + fp), ratio(tp, tp + fn)
    return Scores(*(float(value[0]) for value in values))


def all_notes(prediction: Prediction, spacing: tuple[float, float] | None) -> list[str]:
    """Every remark on the slice that the screen shows, in its order."""
    flags = [f"{flag}." for flag in verdict(prediction).flags]
    return [*flags, *prediction.notes, *([] if spacing else [IN_PIXELS])]


def regions_table(prediction: Prediction, spacing: tuple[float, float] | None) -> pd.DataFrame:
    """The regions of the mask, a row each, with the notes in a last column; one row without a region for an empty mask."""
    table = measure_regions(prediction.mask, spacing)
    if table.empty:
        table = table.reindex([0])
    return table.assign(notes=" ".join(all_notes(prediction, spacing)))


def report(name: str, prediction: Prediction, model: str, spacing: tuple[float, float] | None, truth: BoolMask | None) -> str:
    """Everything about one slice as JSON: settings, figures, regions; scores where the truth is known."""
    mask = prediction.mask
    content: dict[str, Any] = {
        "file": name,
        "model": model,
        "research_use_only": True,
        "verdict": verdict(prediction).headline,
        "p_tumour": None if np.isnan(prediction.p_tumour) else round(prediction.p_tumour, 6),
        "gate": prediction.gate,
        "gated": prediction.gated,
        "kinds": {name: round(share, 4) for name, share in prediction.kinds.items()} or None,
        "threshold": prediction.threshold,
        "postprocessing": asdict(prediction.clean_up),
        "tumour_pixels": int(mask.sum()),
        "area_mm2": round(int(mask.sum()) * spacing[0] * spacing[1], 1) if spacing else None,
        "spacing_mm": spacing,
        "regions": measure_regions(mask, spacing).to_dict("records"),
        "unlike_training": prediction.is_unlike_training,
        "notes": all_notes(prediction, spacing),
        "seconds": {step: round(value, 4) for step, value in prediction.seconds.items()},
    }
    if truth is not None:
        scores = score_slice(mask, truth)._asdict()
        content["scores"] = {key: round(value, 6) if np.isfinite(value) else None for key, value in scores.items()}
    return json.dumps(content, indent=2)
