"""How much of a figure is the split scheme, and how much the averaging: the same models under every combination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from resunet.evaluation.aggregate import Resampling
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.overlap import Array, FloatArray

BATCH = 16
FP_WEIGHT, FN_WEIGHT = 0.3, 0.7
SMOOTH = 1e-6
BATCH_LABEL = f"Soft Tversky index, mean over batches of {BATCH} tumour slices"
AGGREGATIONS = ("volume_dice_mean", "tumour_slice_dice", "pooled_dice", "batch_tversky", "all_slice_dice")


def batch_tversky(slices: pd.DataFrame) -> float:
    """The figure that the paper's lineage prints at the end of training.

    Tumour slices in order, sixteen flattened together, Tversky index of the probabilities (0.3 on false positives, 0.7 on
    false negatives), mean over batches. Slices with much tumour outweigh small ones in each batch. NaN without tumour
    slices.
    """
    return float(np.nanmean(_batches(_soft(slices)))) if (slices["tumour_pixels"] > 0).any() else float("nan")


def averaging_table(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Rows split scheme x aggregation: scheme, aggregation, value, low, high, n.

    Args:
        evaluations: by split scheme, in words.
    """
    rows: list[dict[str, Any]] = []
    for scheme, evaluation in evaluations.items():
        for name in AGGREGATIONS:
            figure = _batch_figure(evaluation.slices) if name == "batch_tversky" else evaluation.summary["metrics"][name]
            label = BATCH_LABEL if name == "batch_tversky" else LABELS[name]
            rows.append({"scheme": scheme, "aggregation": label, **{key: figure[key] for key in ("value", "low", "high", "n")}})
    return pd.DataFrame(rows)


def _batch_figure(slices: pd.DataFrame) -> dict[str, Any]:
    """The figure with an interval over patients: each resample's slices are put into batches again."""
    if "soft_tp" not in slices:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    numbers = pd.factorize(slices["patient"], sort=True)[0][slices["tumour_pixels"] > 0]
    soft = _soft(slices)
    patients = [soft[numbers == number] for number in range(slices["patient"].nunique())]
    resampling = Resampling.of_patients(len(patients))
    draws = []
    for weights in resampling.weights:
        drawn = [counts for counts, times in zip(patients, weights, strict=True) for _ in range(int(times))]
        batches = _batches(np.concatenate(drawn))
        draws.append(batches.mean() if batches.size else np.nan)
    low, high = resampling.interval(np.array(draws))
    return {"value": batch_tversky(slices), "low": low, "high": high, "n": int((slices["tumour_pixels"] > 0).sum())}


def _soft(slices: pd.DataFrame) -> FloatArray:
    """(tumour slices, 3) soft_tp, soft_fp, soft_fn."""
    return slices.loc[slices["tumour_pixels"] > 0, ["soft_tp", "soft_fp", "soft_fn"]].to_numpy(float)


def _batches(soft: Array) -> FloatArray:
    """Tversky index of each run of BATCH rows; the last may be shorter."""
    if len(soft) == 0:
        return np.empty(0)
    tp, fp, fn = np.add.reduceat(soft, np.arange(0, len(soft), BATCH), axis=0).T
    return np.asarray((tp + SMOOTH) / (tp + FP_WEIGHT * fp + FN_WEIGHT * fn + SMOOTH))
