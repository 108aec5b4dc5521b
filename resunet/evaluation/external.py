"""The same models on slices of other hospitals, beside the test set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from resunet.evaluation.aggregate import dice_figures, summarise_segmentation
from resunet.evaluation.compare import p_text, paired_table
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.overlap import volume_dice

MIN_TUMOUR = 100  # pixels of a patient; Dice of a few pixels says little, and some of these slices graze a tumour's edge
TEST_SET = "LGG test"
EXTERNAL_SET = f"External, {MIN_TUMOUR} tumour pixels or more"
EVERYBODY = "External, all"


def large_enough(slices: pd.DataFrame) -> pd.DataFrame:
    """The slices of patients with at least MIN_TUMOUR tumour pixels together."""
    return slices[slices.groupby("patient")["tumour_pixels"].transform("sum") >= MIN_TUMOUR]


def headline_figures(slices: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """`summarise_segmentation` of patients with at least MIN_TUMOUR tumour pixels, as screens and documents show it."""
    return summarise_segmentation(large_enough(slices))


def external_table(test: Mapping[str, Evaluation], external: Mapping[str, Evaluation]) -> pd.DataFrame:
    """One row per model and set: model, set, n (patients), mean volume Dice with low and high, median.

    Args:
        test: of the test split, by model.
        external: of the external set, by model.
    """
    rows: list[dict[str, Any]] = []
    for model in external:
        if model not in test:
            continue
        tables = {
            TEST_SET: test[model].slices,
            EXTERNAL_SET: large_enough(external[model].slices),
            EVERYBODY: external[model].slices,
        }
        for name, slices in tables.items():
            dice = volume_dice(slices).dropna().to_numpy()
            rows.append({"model": model, "set": name, **dice_figures(dice)})
    return pd.DataFrame(rows, columns=["model", "set", "n", "mean", "low", "high", "median"])


def external_differences(external: Mapping[str, Evaluation], reference: str) -> pd.DataFrame:
    """`paired_table` over the external patients with at least MIN_TUMOUR tumour pixels."""
    return paired_table({model: large_enough(evaluation.slices) for model, evaluation in external.items()}, reference)


def external_finding(table: pd.DataFrame, pretrained: Collection[str]) -> str:
    """One sentence: what starting from ImageNet does to the medians of an `external_table`."""
    medians = table.pivot_table(index="model", columns="set", values="median")
    groups = [medians[medians.index.isin(pretrained)], medians[~medians.index.isin(pretrained)]]
    if any(group.empty for group in groups):
        return ""
    started, others = ({name: _span(group[name]) for name in (TEST_SET, EXTERNAL_SET)} for group in groups)
    return (
        f"Networks whose encoders start from ImageNet have medians of {started[TEST_SET]} on the test set and "
        f"{started[EXTERNAL_SET]} on external slices; the others of {others[TEST_SET]} and {others[EXTERNAL_SET]}."
    )


def _span(values: pd.Series[float]) -> str:
    return f"{values.min():.3f}" if len(values) == 1 else f"{values.min():.3f} to {values.max():.3f}"


def external_rows(
    table: pd.DataFrame, paired: pd.DataFrame, labels: Mapping[str, str], pretrained: Collection[str]
) -> pd.DataFrame:
    """An `external_table` for reading, best on the external set first: one row per model, two columns per set."""
    p_values = paired.set_index("model")["p_holm"]
    rows = []
    for model, of_model in table.groupby("model"):
        row: dict[str, Any] = {"Model": labels[str(model)], "Encoder from": "ImageNet" if model in pretrained else "random"}
        for figures in of_model.to_dict("records"):
            words = f"{figures['set']} (n = {figures['n']})"
            row[f"{words}, mean"] = f"{figures['mean']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]"
            row[f"{words}, median"] = f"{figures['median']:.3f}"
        p_value = p_values.get(model)
        rows.append(row | {"p (Holm) against the flagship": "" if p_value is None else p_text(p_value)})
    medians = table[table["set"] == EXTERNAL_SET].sort_values("median", ascending=False)["model"].map(labels).tolist()
    return pd.DataFrame(rows).set_index("Model").loc[medians].reset_index()
