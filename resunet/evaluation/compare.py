"""Every model folder in one table, and which differences from the flagship are more than chance.

All tests are paired: the same patients, the same slices. Wilcoxon's signed-rank test over patients with Holm's correction
(1979) over the models; McNemar's exact test over slices for stage 1; intervals resample patients. SciPy's tests
take 60 MB and most of a second to import, so only who tests does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.errors import InputError
from resunet.evaluation.aggregate import Resampling
from resunet.evaluation.overlap import FloatArray, ratio, volume_dice

LEVEL = 0.05  # p, after Holm's correction, below which a difference is called one
FEW = 3  # models that a sentence names one by one
EXACT, EXACT_WITH_TIES = 50, 13  # patients up to which the signed-rank test counts all signs, as SciPy's does
TIE = 0.005  # differences of a patient's Dice up to this count as a tie


def metric_table(summaries: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per model and metric: model, metric, value, low, high, n, unit; from the summaries of one evaluation."""
    rows = [
        {"model": model, "metric": name, **figure}
        for model, summary in summaries.items()
        for name, figure in summary["metrics"].items()
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high", "n", "unit"])


def wide(metrics: pd.DataFrame) -> pd.DataFrame:
    """A `metric_table` for reading: one row per metric, one column per model, each cell 'value [low, high]'."""
    cells = metrics.assign(cell=[f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in metrics.itertuples()])
    order = list(dict.fromkeys(metrics["metric"]))
    return (
        cells.pivot_table(index="metric", columns="model", values="cell", aggfunc="first")
        .reindex(order)
        .fillna("")
        .reset_index()
    )


def paired_table(slices: Mapping[str, pd.DataFrame], reference: str, families: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Each model against `reference` by volume Dice, one row per model.

    The reference is named before the figures are read: against the best of the table, one of ten equal models would differ
    "significantly" three times as often as the level says.

    Args:
        slices: slices.csv by model name, all over the same slices.
        reference: the model that the others are compared with.
        families: by model the name of the tests that Holm's correction counts together; by default all are one family.

    Returns:
        model, n (patients with a Dice), difference (mean, model minus reference) with low and high, p, p_holm, wins, ties,
        losses (of the model, a tie is within TIE), effect (matched-pairs rank-biserial correlation in [-1, 1]). Without any
        patient, n is 0, both p are 1 and the rest is NaN.

    Raises:
        ValueError: a table covers other slices than the reference's.
    """
    rows = [paired_row(model, table, slices[reference]) for model, table in slices.items() if model != reference]
    columns = ["model", "n", "difference", "low", "high", "p", "p_holm", "wins", "ties", "losses", "effect"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    for _, members in table.groupby(table["model"].map(families or {}).fillna("")):
        table.loc[members.index, "p_holm"] = holm(members["p"].to_numpy(float))
    return table


def significance_labels(paired: pd.DataFrame) -> dict[str, str]:
    """By model of a `paired_table`, whether it is better or worse than the reference by more than chance."""
    words_by_model = {}
    for row in paired.to_dict("records"):
        real = row["p_holm"] < LEVEL
        words_by_model[row["model"]] = ("better" if row["difference"] > 0 else "worse") if real else "no significant difference"
    return words_by_model


def paired_row(model: str, table: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """One row of `paired_table` without Holm's correction."""
    check_same_slices(model, table, reference)
    differences = np.asarray(volume_dice(table) - volume_dice(reference), np.float64)
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        return {"model": model, "n": 0, "p": 1.0}
    weights = Resampling.of_patients(len(differences)).weights
    low, high = Resampling(weights).interval(ratio(weights @ differences, weights.sum(axis=1)))
    return {
        "model": model,
        "n": len(differences),
        "difference": float(differences.mean()),
        "low": low,
        "high": high,
        "p": signed_rank_p(differences),
        "wins": int((differences > TIE).sum()),
        "ties": int((np.abs(differences) <= TIE).sum()),
        "losses": int((differences < -TIE).sum()),
        "effect": rank_biserial(differences),
    }


def paired_finding(table: pd.DataFrame, labels: Mapping[str, str], reference: str) -> str:
    """One sentence on a `paired_table`: each model's difference where there are few, else how many differ.

    Args:
        labels: what people read for the models.
        reference: the model that the others were compared with.
    """
    if len(table) > FEW:
        behind, ahead = (int(((table["p_holm"] < LEVEL) & (sign * table["difference"] > 0)).sum()) for sign in (-1, 1))
        return (
            f"Paired with {labels[reference]} over n = {table['n'].iloc[0]} patients, {behind} of {len(table)} models are "
            f"behind and {ahead} ahead by more than chance (Wilcoxon, Holm, p below {LEVEL})."
        )
    sentences = [
        f"{labels[row['model']]} against {labels[reference]} over n = {row['n']} patients: {row['difference']:+.3f} "
        f"({row['low']:+.3f} to {row['high']:+.3f}), better in {row['wins']}, equal within {TIE} in {row['ties']}, worse in "
        f"{row['losses']}; Wilcoxon p {p_text(row['p_holm'])}."
        for row in table.to_dict("records")
    ]
    return " ".join(sentences)


def p_text(p_value: float) -> str:
    """A p value for reading."""
    return "below 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def check_same_slices(model: str, table: pd.DataFrame, reference: pd.DataFrame) -> None:
    """Raise InputError unless both tables hold the same slices with the same truth, in order."""
    if not is_same_set(table, reference):
        raise InputError(f"{model} was measured on other slices than the reference; a paired comparison needs the same.")


def is_same_set(table: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables hold the same slices with the same truth, in order."""
    keys = ["patient", "slice", "tumour_pixels"]
    return table[keys].reset_index(drop=True).equals(other[keys].reset_index(drop=True))


def holm(p_values: FloatArray) -> FloatArray:
    """p values (N,) of one family after Holm's step-down correction (1979)."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def signed_rank_p(differences: FloatArray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (1945), zeros left out; 1 where nothing differs.

    The same number as `scipy.stats.wilcoxon`, whose import takes 44 MB and half a second of the app: exact for at most 50
    patients without zeros and equal ranks and for at most 13 others, else by the normal distribution, corrected for
    equal ranks.
    """
    moved = differences[differences != 0]
    count = len(moved)
    if not count:
        return 1.0
    ranks = pd.Series(np.abs(moved)).rank().to_numpy(np.float64)
    gained = float(ranks[moved > 0].sum())
    equal = np.unique(ranks, return_counts=True)[1]
    if len(differences) <= (EXACT if len(equal) == len(differences) else EXACT_WITH_TIES):
        return _exact_p(ranks, min(gained, float(ranks.sum()) - gained))
    deviation = math.sqrt((count * (count + 1) * (2 * count + 1) - np.sum(equal**3 - equal) / 2) / 24)
    return math.erfc(abs(gained - count * (count + 1) / 4) / deviation / math.sqrt(2))


def _exact_p(ranks: npt.NDArray[Any], smaller: float) -> float:
    """How likely a sum of ranks at least as far out as `smaller` is when each sign is a coin's, on both sides."""
    doubled = np.rint(2 * ranks).astype(int)  # equal ranks share halves
    ways = np.zeros(doubled.sum() + 1)  # to draw signs with each sum of the positive ranks
    ways[0] = 1
    for rank in doubled:
        ways[rank:] = ways[rank:] + ways[:-rank]
    return float(min(1.0, 2 * ways[: round(2 * smaller) + 1].sum() / ways.sum()))


def rank_biserial(differences: FloatArray) -> float:
    """(R+ - R-) / (R+ + R-) of the ranks of |difference|, zeros left out: 1 when every patient gains (Kerby 2014)."""
    moved = differences[differences != 0]
    if moved.size == 0:
        return 0.0
    ranks = pd.Series(np.abs(moved)).rank().to_numpy()
    return float(np.sum(np.sign(moved) * ranks) / ranks.sum())


def stage_1_against_masks(slices: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """Does stage 1 classify slices better than "some pixel was outlined"? McNemar's exact test over the same slices.

    Args:
        slices: a segmentation slices.csv with p_tumour.
        threshold: of stage 1.

    Returns:
        n, accuracy_stage_1, accuracy_masks, only_stage_1 and only_masks (slices that one of them alone got right), p.
    """
    truth = slices["tumour_pixels"].to_numpy() > 0
    stage_1_right = (slices["p_tumour"].to_numpy() >= threshold) == truth
    masks_right = ((slices["tp"] + slices["fp"]).to_numpy() > 0) == truth
    only_stage_1, only_masks = int(np.sum(stage_1_right & ~masks_right)), int(np.sum(~stage_1_right & masks_right))
    disagreements, fewer = only_stage_1 + only_masks, min(only_stage_1, only_masks)
    at_most = sum(math.comb(disagreements, count) for count in range(fewer + 1)) / 2**disagreements  # by a fair coin
    return {
        "n": len(slices),
        "accuracy_stage_1": float(stage_1_right.mean()),
        "accuracy_masks": float(masks_right.mean()),
        "only_stage_1": only_stage_1,
        "only_masks": only_masks,
        "p": min(1.0, 2 * at_most),
    }
