"""Cross-validation: every patient segmented by a network that never saw them, and what that gives by site and by size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from resunet.data.splits import FOLDS, site
from resunet.errors import InputError
from resunet.evaluation.aggregate import Resampling, summarise_segmentation
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.metrics import ratio, volume_dice, volumes

CROSS_VALIDATED = "cross_validated"  # the name of an evaluation over all folds
FOLD_RUN = re.compile(r"(?P<base>.+)_fold(?P<fold>[0-9])")
EVERYBODY = "All patients"
# Of the same data set, from the authors' project page (Buda et al. 2019): U-Net over 22 folds, and two readers.
REPORTED_MEAN, REPORTED_READERS = 0.836, 0.84


def out_of_fold(evaluations: Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    """One evaluation over all folds of each cross-validated run, by the run's name; runs with a fold missing are left out.

    Args:
        evaluations: of the test split, by run; a fold's run is called <run>_fold<k>.

    Raises:
        InputError: a patient was tested in two folds.
    """
    folds: dict[str, list[Evaluation]] = {}
    for name in sorted(evaluations):
        if match := FOLD_RUN.fullmatch(name):
            folds.setdefault(match["base"], []).append(evaluations[name])
    return {run: _union(run, parts) for run, parts in folds.items() if len(parts) == FOLDS}


def _union(run: str, folds: list[Evaluation]) -> Evaluation:
    patients = pd.concat([fold.slices["patient"].drop_duplicates() for fold in folds])
    if patients.duplicated().any():
        raise InputError(f"{patients[patients.duplicated()].iloc[0]} is in the test split of two folds.")
    slices = pd.concat([fold.slices for fold in folds], ignore_index=True)
    summary = {
        "model": run,
        "protocol": CROSS_VALIDATED,
        "threshold": float("nan"),  # each fold has its own
        "gate": None,
        "n_patients": len(patients),
        "n_slices": len(slices),
        "n_tumour_slices": int((slices["tumour_pixels"] > 0).sum()),
        "metrics": summarise_segmentation(slices),
    }
    display_name = folds[0].display_name.rpartition(", fold")[0]
    return Evaluation(run, display_name, CROSS_VALIDATED, tuple(fold.key for fold in folds), summary, slices)


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
            resampling = Resampling.of_patients(len(dice))
            low, high = resampling.interval(ratio(resampling.weights @ dice, resampling.weights.sum(axis=1)))
            figures = {"n": len(dice), "mean": float(dice.mean()), "low": low, "high": high, "median": float(np.median(dice))}
            rows.append({"model": evaluation.display_name, "group": group, **figures})
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
