"""From slices.csv to summary.json: every figure under a name that says how it was aggregated.

Most figures are a sum over a sum, with one contribution per patient; the confidence interval resamples patients, because
slices of one patient are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from resunet.evaluation.definitions import DEFINITIONS
from resunet.evaluation.lesion_hits import lesion_table
from resunet.evaluation.overlap import Array, FloatArray, dice, iou, ratio, volume_dice
from resunet.inference.gate import is_below_gate

RESAMPLES = 2000
SEED = 2025
ECE_BINS = 10
CHUNK = 256  # resamples at a time
KEPT_DRAWS = 8  # 1.6 MB each for 100 patients


class Ratio(NamedTuple):
    """One figure as sum(part) / sum(whole), with one entry per patient in each; n counts `unit`s."""

    part: Array
    whole: Array
    n: int
    unit: str


@dataclass(frozen=True)
class Resampling:
    """How often each patient was drawn in each bootstrap resample: (resamples, patients)."""

    weights: FloatArray

    @classmethod
    @lru_cache(maxsize=KEPT_DRAWS)
    def of_patients(cls, patients: int, resamples: int = RESAMPLES, seed: int = SEED) -> Resampling:
        """Draw `patients` patients with replacement, `resamples` times; the same draws for the same numbers."""
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(patients, np.full(patients, 1 / max(1, patients)), size=resamples).astype(np.float64)
        weights.setflags(write=False)
        return cls(weights)

    def interval(self, values: FloatArray) -> tuple[float, float]:
        """2.5 % and 97.5 % quantiles, resamples without a value left out."""
        kept = values[np.isfinite(values)]
        if kept.size == 0:
            return float("nan"), float("nan")
        low, high = np.percentile(kept, (2.5, 97.5))
        return float(low), float(high)


def gate_slices(slices: pd.DataFrame, gate: float) -> pd.DataFrame:
    """The two-stage result: slices with p_tumour below the gate become empty predictions."""
    stopped = is_below_gate(slices["p_tumour"], gate)
    gated = slices.copy()
    gated.loc[stopped, "fn"] += gated.loc[stopped, "tp"]
    gated.loc[stopped, "tn"] += gated.loc[stopped, "fp"]
    gated.loc[stopped, ["tp", "fp"]] = 0
    gated.loc[stopped, ["hd95", "surface_dice"]] = np.nan
    if gated["lesions"].notna().any():  # otherwise the column holds no text, but missing numbers
        gated.loc[stopped, "lesions"] = gated.loc[stopped, "lesions"].str.replace("+", "-", regex=False)
    return gated


def summarise_segmentation(slices: pd.DataFrame, resampling: Resampling | None = None) -> dict[str, dict[str, Any]]:
    """Metrics by name for a table with patient, tumour_pixels, tp, fp, fn, tn, hd95, surface_dice, lesions."""
    patients = slices["patient"].nunique()
    resampling = resampling or Resampling.of_patients(patients)
    figures = {name: _figure(figure, resampling) for name, figure in segmentation_ratios(slices).items()}
    figures["volume_dice_median"] = median_figure(np.asarray(volume_dice(slices), np.float64), resampling)
    return {name: figures[name] for name in DEFINITIONS if name in figures}


def segmentation_ratios(slices: pd.DataFrame) -> dict[str, Ratio]:
    """Every figure but the median as a sum over a sum, by name; patients in the order of their names."""
    patients = _numbered(slices)
    tp, fp, fn, tn = (slices[name].to_numpy() for name in ("tp", "fp", "fn", "tn"))
    tumour = slices["tumour_pixels"].to_numpy() > 0
    pixels = int((tp + fp + fn + tn).sum())

    def mean(values: Array, where: Array, unit: str = "slice") -> Ratio:
        counted = where & np.isfinite(values)
        return share(np.where(counted, values, 0.0), counted, int(counted.sum()), unit)

    def share(part: Array, whole: Array, n: int, unit: str) -> Ratio:
        return Ratio(_sums(patients, part), _sums(patients, whole), n, unit)

    of_patients = np.asarray(volume_dice(slices), np.float64)
    known = np.isfinite(of_patients)
    every = np.ones(len(slices), bool)
    ratios = {
        "volume_dice_mean": Ratio(np.nan_to_num(of_patients), known.astype(float), int(known.sum()), "patient"),
        "tumour_slice_dice": mean(dice(tp, fp, fn), tumour),
        "tumour_slice_iou": mean(iou(tp, fp, fn), tumour),
        "pooled_dice": share(2 * tp, 2 * tp + fp + fn, pixels, "pixel"),
        "pooled_iou": share(tp, tp + fp + fn, pixels, "pixel"),
        "all_slice_dice": mean(dice(tp, fp, fn, empty=1.0), every),
        "precision": share(tp, tp + fp, int((tp + fp).sum()), "pixel"),
        "recall": share(tp, tp + fn, int((tp + fn).sum()), "pixel"),
        "empty_slice_fp_rate": mean((fp > 0).astype(float), ~tumour),
        "hd95_px": mean(slices["hd95"].to_numpy(float), tumour),
        "surface_dice_2px": mean(slices["surface_dice"].to_numpy(float), tumour),
    }
    return ratios | _volume_ratios(slices) | _lesion_ratios(slices)


def _volume_ratios(slices: pd.DataFrame) -> dict[str, Ratio]:
    """Share of the examinations on which some pixel was predicted, where people without a tumour have several of them."""
    if "volume" not in slices:
        return {}
    predicted = (slices["tp"] + slices["fp"]).groupby([slices["patient"], slices["volume"]]).sum() > 0
    by_patient = predicted.groupby(level="patient").agg(["sum", "count"])
    part, whole = (by_patient[name].to_numpy(float) for name in ("sum", "count"))
    return {"volume_found_rate": Ratio(part, whole, len(predicted), "volume")}


def _numbered(slices: pd.DataFrame) -> Array:
    """Each row's patient as a number, in the order of the patients' names."""
    return pd.factorize(slices["patient"], sort=True)[0]


def _sums(patients: Array, values: Array) -> FloatArray:
    """The sum of the rows' values for each patient."""
    return np.asarray(np.bincount(patients, weights=np.asarray(values, float)), np.float64)


def _lesion_ratios(slices: pd.DataFrame) -> dict[str, Ratio]:
    """Sensitivity by quarter of lesion area; the quarters are those of the lesions in this table."""
    numbers = _numbered(slices)
    lesions = lesion_table(slices["lesions"])
    if not len(lesions.row):
        return {}
    patients = numbers[lesions.row]
    quarters = np.searchsorted(np.percentile(lesions.pixels, (25, 50, 75)), lesions.pixels, side="left")
    ratios = {}
    for quarter in range(4):
        of_quarter = quarters == quarter
        hits, all_of_them = (
            np.bincount(patients[chosen], minlength=numbers.max() + 1).astype(float)
            for chosen in (of_quarter & lesions.found, of_quarter)
        )
        ratios[f"lesion_sensitivity_q{quarter + 1}"] = Ratio(hits, all_of_them, int(of_quarter.sum()), "lesion")
    return ratios


def summarise_classification(
    slices: pd.DataFrame, threshold: float, resampling: Resampling | None = None
) -> dict[str, dict[str, Any]]:
    """Stage 1's metrics by name for a table with patient, tumour_pixels, p_tumour."""
    resampling = resampling or Resampling.of_patients(slices["patient"].nunique())
    figures = figures_at(slices, threshold, resampling)
    truth = slices["tumour_pixels"].to_numpy() > 0
    probability = slices["p_tumour"].to_numpy(float)
    weights = np.vstack((np.ones(len(slices)), resampling.weights[:, _numbered(slices)]))
    auroc, auprc = ranking_scores(truth, probability, weights)
    ece = np.where(np.isfinite(auroc), calibration_error(truth, probability, weights), np.nan)
    for name, (value, *draws) in {"auroc": auroc, "auprc": auprc, "ece": ece}.items():
        low, high = resampling.interval(np.array(draws))
        figures[name] = {"value": float(value), "low": low, "high": high, "n": len(slices), "unit": "slice"}
    return figures


def ranking_scores(truth: Array, probability: Array, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Area under the ROC curve and average precision, each once per row of weights; NaN where one class has no weight.

    The same numbers as scikit-learn's `roc_auc_score` and `average_precision_score`, for all resamples at once.

    Args:
        truth: (N,) bool.
        probability: (N,).
        weights: (R, N) >= 0.

    Returns:
        Both (R,).
    """
    order = np.argsort(-probability, kind="stable")
    starts = np.flatnonzero(np.diff(probability[order], prepend=np.inf))  # of the runs of equal probability
    auroc, precision = np.empty(len(weights)), np.empty(len(weights))
    for first in range(0, len(weights), CHUNK):
        ordered = weights[first : first + CHUNK, order]
        positive = np.add.reduceat(ordered * truth[order], starts, axis=1)
        negative = np.add.reduceat(ordered * ~truth[order], starts, axis=1)
        hits = positive.cumsum(axis=1)
        false_alarms = negative.cumsum(axis=1)
        positives, negatives = hits[:, -1], false_alarms[:, -1]
        auroc[first : first + CHUNK] = ratio((negative * (hits - positive / 2)).sum(axis=1), positives * negatives)
        precisions = ratio(hits, hits + false_alarms, 0.0)
        average = ratio((positive * precisions).sum(axis=1), positives)
        precision[first : first + CHUNK] = np.where(negatives > 0, average, np.nan)
    return auroc, precision


def figures_at(slices: pd.DataFrame, threshold: float, resampling: Resampling | None = None) -> dict[str, dict[str, Any]]:
    """Those of stage 1's metrics that the threshold moves; the areas under curves and the calibration it leaves alone."""
    resampling = resampling or Resampling.of_patients(slices["patient"].nunique())
    truth = slices["tumour_pixels"].to_numpy() > 0
    positive = slices["p_tumour"].to_numpy(float) >= threshold
    patients = _numbered(slices)

    def share(part: Array, whole: Array) -> Ratio:
        return Ratio(_sums(patients, part), _sums(patients, whole), int(np.count_nonzero(whole)), "slice")

    hits = truth & positive
    ratios = {
        "accuracy": share(truth == positive, np.ones(len(slices))),
        "sensitivity": share(hits, truth),
        "specificity": share(~truth & ~positive, ~truth),
        "precision": share(hits, positive),
        "f1": share(2.0 * hits, truth.astype(float) + positive),
    }
    return {name: _figure(figure, resampling) for name, figure in ratios.items()}


def rates_at(slices: pd.DataFrame, threshold: float) -> dict[str, float]:
    """accuracy, sensitivity and specificity of stage 1 at a threshold, for a table with tumour_pixels and p_tumour."""
    truth = slices["tumour_pixels"].to_numpy() > 0
    positive = slices["p_tumour"].to_numpy(float) >= threshold
    return {
        "accuracy": float((truth == positive).mean()),
        "sensitivity": float(ratio((truth & positive).sum(), truth.sum())),
        "specificity": float(ratio((~truth & ~positive).sum(), (~truth).sum())),
    }


def calibration_bins(probability: Array) -> Array:
    """The bin (N,) of each probability, ECE_BINS of equal width; an edge belongs to the bin above it, 1 to the last."""
    return np.asarray(np.minimum((probability * ECE_BINS).astype(int), ECE_BINS - 1))


def calibration_error(truth: Array, probability: Array, weights: FloatArray) -> FloatArray:
    """Expected calibration error (Guo et al., ICML 2017) of the positive class, ECE_BINS bins of equal width.

    Args:
        truth, probability: (N,).
        weights: (R, N).

    Returns:
        (R,), one error per row of weights.
    """
    bins = calibration_bins(probability)
    gaps = (truth.astype(float) - probability)[:, None] * (bins[:, None] == np.arange(ECE_BINS))
    return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1), np.float64)


def dice_figures(dice: Array) -> dict[str, Any]:
    """n, mean with low and high (95 %, patients resampled) and median of the volume Dice (n,) of some patients."""
    weights = Resampling.of_patients(len(dice)).weights
    low, high = Resampling(weights).interval(ratio(weights @ dice, weights.sum(axis=1)))
    return {"n": len(dice), "mean": float(dice.mean()), "low": low, "high": high, "median": float(np.median(dice))}


def patient_figure(part: Array, whole: Array, patients: Array, n: int, unit: str) -> dict[str, Any]:
    """sum(part) / sum(whole) over rows with its interval, which resamples patients.

    Args:
        part, whole: one number a row.
        patients: the row's patient.
        n: how many `unit`s there are.
    """
    numbers = pd.factorize(patients, sort=True)[0]
    resampling = Resampling.of_patients(int(numbers.max()) + 1 if len(numbers) else 0)
    return _figure(Ratio(_sums(numbers, part), _sums(numbers, whole), n, unit), resampling)


def _figure(figure: Ratio, resampling: Resampling) -> dict[str, Any]:
    value = float(ratio(figure.part.sum(), figure.whole.sum()))
    low, high = resampling.interval(ratio(resampling.weights @ figure.part, resampling.weights @ figure.whole))
    return {"value": value, "low": low, "high": high, "n": figure.n, "unit": figure.unit}


def mean_figure(values: FloatArray, resampling: Resampling) -> dict[str, Any]:
    """Mean over patients with a value."""
    known = np.isfinite(values)
    return _figure(Ratio(np.where(known, values, 0.0), known.astype(float), int(known.sum()), "patient"), resampling)


def median_figure(values: FloatArray, resampling: Resampling) -> dict[str, Any]:
    """Median over patients with a value; a resample repeats each value as often as its patient was drawn."""
    order = np.argsort(values)[: np.isfinite(values).sum()]  # NaN sorts last
    nothing = {"value": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0, "unit": "patient"}
    if not order.size:
        return nothing
    counts = resampling.weights[:, order].cumsum(axis=1)
    counts = counts[counts[:, -1] > 0]
    total = counts[:, -1:]
    lower = (counts > (total - 1) // 2).argmax(axis=1)
    upper = (counts > total // 2).argmax(axis=1)
    ranked = values[order]
    low, high = resampling.interval((ranked[lower] + ranked[upper]) / 2)
    return nothing | {"value": float(np.median(ranked)), "low": low, "high": high, "n": len(ranked)}
