"""Overlap metrics from counts. Counts are kept per slice; every aggregation is a sum of them under a name of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


class Counts(NamedTuple):
    """True and false positives and negatives, in pixels; arrays of one shape, one entry per slice or per patient."""

    tp: IntArray
    fp: IntArray
    fn: IntArray
    tn: IntArray


def count_pixels(predicted: npt.NDArray[np.bool_], target: npt.NDArray[np.bool_]) -> Counts:
    """Counts per mask of (N, H, W) bool arrays; each field is (N,)."""
    over = (1, 2)
    tp = np.count_nonzero(predicted & target, axis=over)
    positives = np.count_nonzero(predicted, axis=over)
    tumour = np.count_nonzero(target, axis=over)
    fp, fn = positives - tp, tumour - tp
    tn = predicted[0].size - tp - fp - fn if len(predicted) else tp
    return Counts(*(np.asarray(part, dtype=np.int64) for part in (tp, fp, fn, tn)))


def soft_counts(probability: npt.NDArray[np.float32], target: npt.NDArray[np.bool_]) -> dict[str, float]:
    """soft_tp, soft_fp and soft_fn of one map (H, W) in [0, 1]: the counts with probabilities in place of 0 and 1."""
    inside = float(probability[target].sum(dtype=np.float64))
    everywhere = float(probability.sum(dtype=np.float64))
    return {"soft_tp": inside, "soft_fp": everywhere - inside, "soft_fn": float(target.sum()) - inside}


def dice(tp: Array, fp: Array, fn: Array, empty: float = np.nan) -> FloatArray:
    """2 TP / (2 TP + FP + FN), elementwise; `empty` where both masks are empty."""
    return ratio(2 * tp, 2 * tp + fp + fn, empty)


def iou(tp: Array, fp: Array, fn: Array, empty: float = np.nan) -> FloatArray:
    """TP / (TP + FP + FN), elementwise; `empty` where both masks are empty."""
    return ratio(tp, tp + fp + fn, empty)


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike, empty: float = np.nan) -> FloatArray:
    """part / whole, `empty` where the whole is 0."""
    part = np.asarray(part, np.float64)
    whole = np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, empty), where=whole > 0)


def volumes(slices: pd.DataFrame) -> pd.DataFrame:
    """Counts tp, fp, fn of each patient's whole volume, indexed by patient, from a table with one row per slice."""
    return slices.groupby("patient")[["tp", "fp", "fn"]].sum()


def volume_dice(slices: pd.DataFrame) -> pd.Series[float]:
    """Dice of each patient's whole volume, by patient; NaN for a patient without a tumour pixel, whatever was predicted."""
    patients = volumes(slices)
    return pd.Series(table_dice(patients), index=patients.index).where(patients["tp"] + patients["fn"] > 0)


def table_dice(table: pd.DataFrame) -> FloatArray:
    """Dice of each row of a table with columns tp, fp, fn; NaN where both masks are empty."""
    return dice(table["tp"].to_numpy(), table["fp"].to_numpy(), table["fn"].to_numpy())


def table_iou(table: pd.DataFrame) -> FloatArray:
    """IoU of each row of a table with columns tp, fp, fn; NaN where both masks are empty."""
    return iou(table["tp"].to_numpy(), table["fp"].to_numpy(), table["fn"].to_numpy())
