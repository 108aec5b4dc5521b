"""The ablations of the study, answered from slices.csv: what Tversky loss buys, and what the split scheme does to Dice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from resunet.evaluation.aggregate import Ratio, Resampling, segmentation_ratios, summarise_segmentation
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.overlap import ratio

# Runs that differ in the loss alone, by what the loss is called; further seeds end in _seed2 and so on.
LOSS_RUNS = {
    "bce": "resunet_bce",
    "dice": "resunet_dice",
    "tversky": "resunet_tversky",
    "focal_tversky": "resunet_focal_tversky",
    "tversky_bce": "resunet",
}
LOSS_LABELS = {
    "bce": "BCE",
    "dice": "Dice",
    "tversky": "Tversky 0.3/0.7",
    "focal_tversky": "Focal Tversky",
    "tversky_bce": "Tversky + BCE",
}
REPORTED_DICE = 0.98  # the paper, Table II
# The same architecture and recipe on patients and on random slices.
SPLIT_SCHEME_RUNS = {"Patients kept apart": "resunet", "Random slices": "resunet_slice"}
SPLIT_SCHEME_RUNS_T1CE = {"Patients kept apart": "resunet_lite_t1ce_fold0", "Random slices": "resunet_lite_t1ce_slice"}
REPORTED = Path(__file__).with_name("reported.csv")  # what others report: system, data, metric, value, source, note
STAGE_1_RUNS = {"Patients kept apart": "resnet50", "Random slices": "resnet50_slice"}
REPORTED_STAGE_1 = "ResNet-50 classifier (the paper)"
SMALLEST = "lesion_sensitivity_q1"
FALSE_POSITIVES = "empty_slice_fp_rate"


class Difference(NamedTuple):
    """A figure of the first minus the same of the second, paired over patients, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        words = "" if self.excludes_zero else ", not shown to be more than chance"
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f}{words})"


def runs_of_losses(names: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of the runs of each loss that are among `names`, seeds together, losses without a run left out."""
    runs = {loss: [name for name in names if name == run or name.startswith(f"{run}_seed")] for loss, run in LOSS_RUNS.items()}
    return {loss: of_loss for loss, of_loss in runs.items() if of_loss}


def loss_slices(slices: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """slices.csv of each loss, its seeds one under the other, so that ratios average over seeds."""
    return {loss: pd.concat([slices[name] for name in runs]) for loss, runs in runs_of_losses(slices).items()}


def loss_table(slices: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per loss and figure: loss, runs, metric, value, low, high, n."""
    rows: list[dict[str, Any]] = []
    runs = runs_of_losses(slices)
    for loss, table in loss_slices(slices).items():
        figures = summarise_segmentation(table)
        figures.pop("volume_dice_median")  # the seeds' volumes are pooled here, which means something else
        rows.extend({"loss": LOSS_LABELS[loss], "runs": len(runs[loss]), "metric": name, **figures[name]} for name in figures)
    return pd.DataFrame(rows)


def difference(first: pd.DataFrame, second: pd.DataFrame, name: str) -> Difference:
    """Figure `name` of the first minus the second. Both must cover the same patients; each resample draws the same ones."""
    return _difference(segmentation_ratios(first)[name], segmentation_ratios(second)[name])


def _difference(one: Ratio, other: Ratio) -> Difference:
    resampling = Resampling.of_patients(len(one.part))
    draws = ratio(resampling.weights @ one.part, resampling.weights @ one.whole) - ratio(
        resampling.weights @ other.part, resampling.weights @ other.whole
    )
    value = one.part.sum() / one.whole.sum() - other.part.sum() / other.whole.sum()
    return Difference(float(value), *resampling.interval(draws))


def tversky_finding(slices: Mapping[str, pd.DataFrame]) -> str | None:
    """One sentence: does Tversky find small lesions that BCE misses, and at what price? None until both are measured."""
    tables = loss_slices(slices)
    if not {"tversky", "bce"} <= set(tables):
        return None
    tversky, bce = (segmentation_ratios(tables[loss]) for loss in ("tversky", "bce"))
    small, false_positives = (_difference(tversky[name], bce[name]) for name in (SMALLEST, FALSE_POSITIVES))
    return (
        f"Tversky loss instead of BCE changes the share of the smallest lesions that is found by {small}, and the share of "
        f"empty slices with a false positive by {false_positives}."
    )


def confusion_table(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """The confusion matrix of stage 1 under each split scheme, and last the paper's.

    Args:
        evaluations: of classifiers, by split scheme in words.

    Returns:
        classifier, n (slices), tn, fp, fn, tp, accuracy, sensitivity, specificity.
    """
    rows = []
    for words, evaluation in evaluations.items():
        truth = evaluation.slices["tumour_pixels"] > 0
        positive = evaluation.slices["p_tumour"] >= evaluation.threshold
        cells = {"tn": ~truth & ~positive, "fp": ~truth & positive, "fn": truth & ~positive, "tp": truth & positive}
        rows.append({"classifier": words} | {name: int(cell.sum()) for name, cell in cells.items()})
    reported = pd.read_csv(REPORTED).query("system == @REPORTED_STAGE_1").set_index("metric")["value"]
    rows.append({"classifier": "Reported by the paper"} | {name: int(reported[name]) for name in ("tn", "fp", "fn", "tp")})
    table = pd.DataFrame(rows)
    table.insert(1, "n", table[["tn", "fp", "fn", "tp"]].sum(axis=1))
    return table.assign(
        accuracy=(table["tp"] + table["tn"]) / table["n"],
        sensitivity=table["tp"] / (table["tp"] + table["fn"]),
        specificity=table["tn"] / (table["tn"] + table["fp"]),
    )


def split_scheme_finding(table: pd.DataFrame) -> str | None:
    """One sentence: how much of a Dice is leakage, how much is averaging? None until both schemes are measured.

    Args:
        table: an `averaging_table` of SPLIT_SCHEME_RUNS.
    """
    if table["scheme"].nunique() < len(SPLIT_SCHEME_RUNS):
        return None
    values = {scheme: rows["value"].tolist() for scheme, rows in table.groupby("scheme", sort=False)}
    by_patient, by_slice = (values[scheme] for scheme in SPLIT_SCHEME_RUNS)
    return (
        f"Mixing a patient's slices moves the mean volume Dice from {by_patient[0]:.3f} to {by_slice[0]:.3f}; with patients "
        f"kept apart, the choice of averaging alone moves it between {min(by_patient):.3f} and {max(by_patient):.3f}."
    )
