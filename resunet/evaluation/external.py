"""The same models on slices of other hospitals, beside the test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from resunet.evaluation.aggregate import dice_figures
from resunet.evaluation.compare import paired_table
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.metrics import volume_dice

MIN_TUMOUR = 100  # pixels of a patient; Dice of a few pixels says little, and some of these slices graze a tumour's edge
TEST_SET, EXTERNAL_SET, EVERYBODY = "LGG test", f"External, {MIN_TUMOUR} tumour pixels or more", "External, all"
DIFFERENCES = (
    "The external slices are of glioblastomas, not lower-grade gliomas; skull-stripped, by other scanners, one to three per "
    "patient, cut to the central 208 mm and scaled to 256 pixels."
)


def large_enough(slices: pd.DataFrame) -> pd.DataFrame:
    """The slices of patients with at least MIN_TUMOUR tumour pixels together."""
    return slices[slices.groupby("patient")["tumour_pixels"].transform("sum") >= MIN_TUMOUR]


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
