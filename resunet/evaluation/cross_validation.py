"""Cross-validation: every patient segmented by a network that never saw them, and what that gives by site and by size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resunet.data.splits import site
from resunet.errors import InputError
from resunet.evaluation.aggregate import dice_figures
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.overlap import volume_dice, volumes
from resunet.model_folder import ModelFolder

CROSS_VALIDATED = "cross_validated"  # the name of an evaluation over all folds
EVERYBODY = "All patients"
# Of the same data set, from the authors' project page (Buda et al. 2019): U-Net over 22 folds, and two readers.
REPORTED_MEAN, REPORTED_READERS = 0.836, 0.84


def union(folds: Sequence[ModelFolder]) -> pd.DataFrame:
    """slices.csv of all folds' test splits together: every patient outlined by the network that did not see them.

    Raises:
        InputError: a fold is not measured, or a patient was tested in two folds.
    """
    tables = []
    for fold in folds:
        if (table := fold.slices("test")) is None:
            raise InputError(f"{fold.name} has no evaluation on its test split; run resunet evaluate {fold.name}.")
        tables.append(table)
    patients = pd.concat([table["patient"].drop_duplicates() for table in tables])
    if patients.duplicated().any():
        raise InputError(f"{patients[patients.duplicated()].iloc[0]} is in the test split of two folds.")
    return pd.concat(tables).sort_values(["patient", "slice"], ignore_index=True)


def cross_validation_table(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Volume Dice of all patients, of each site, and of each quarter of tumour volume.

    Returns:
        model, group, n (patients), mean with low and high (95 %, patients resampled), median.
    """
    rows: list[dict[str, Any]] = []
    for evaluation in evaluations.values():
        patients = volumes(evaluation.slices)
        known = patients.assign(dice=volume_dice(evaluation.slices)).dropna(subset=["dice"])
        for group, dice in _groups(known):
            rows.append({"model": evaluation.display_name, "group": group, **dice_figures(dice)})
    return pd.DataFrame(rows)


def _groups(patients: pd.DataFrame) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Name and Dice of each group of patients."""
    dice = patients["dice"].to_numpy(float)
    yield EVERYBODY, dice
    sites = np.array([site(str(name)) for name in patients.index])
    for name in sorted(set(sites)):
        yield f"Site {name}", dice[sites == name]
    pixels = (patients["tp"] + patients["fn"]).to_numpy(float)
    quarters = np.searchsorted(np.percentile(pixels, (25, 50, 75)), pixels, side="left")
    names = ("smallest", "second", "third", "largest")
    for quarter, name in enumerate(names):
        yield f"Tumour volume, {name} quarter", dice[quarters == quarter]


def fold_finding(table: pd.DataFrame) -> str:
    """One sentence for each model, beside what is reported."""
    everybody = table[table["group"] == EVERYBODY]
    sentences = [
        f"{row.model}: mean {row.mean:.3f} ({row.low:.3f} to {row.high:.3f}), median {row.median:.3f}, {row.n} patients"
        for row in everybody.itertuples(name="Row")
    ]
    return (
        f"{'; '.join(sentences)}. Reported: {REPORTED_MEAN} over 22 folds (Buda 2019), {REPORTED_READERS} between two readers."
    )
