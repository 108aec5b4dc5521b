"""Cross-validation: every patient judged by a network that never saw her, and what that gives by site and by size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from resunet.data.splits import site
from resunet.evaluation.aggregate import Resampling
from resunet.evaluation.metrics import ratio, table_dice, volumes

FOLDS = 5
ARCHITECTURES = ("resunet_deep", "unet")  # those that were cross-validated; a run is called <architecture>_fold<k>
EVERYBODY = "All patients"
# Of the same data set, from the authors' project page (Buda et al. 2019): U-Net over 22 folds, and two readers.
REPORTED_MEAN, REPORTED_READERS = 0.836, 0.84


def out_of_fold(slices: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The test slices of all folds of each architecture under one another; architectures with a fold missing are left out.

    Args:
        slices: slices.csv of the test part by run.

    Raises:
        ValueError: a patient was tested in two folds.
    """
    found = {}
    for architecture in ARCHITECTURES:
        runs = [f"{architecture}_fold{fold}" for fold in range(FOLDS)]
        if not all(run in slices for run in runs):
            continue
        tables = [slices[run] for run in runs]
        patients = pd.concat([table["patient"].drop_duplicates() for table in tables])
        if patients.duplicated().any():
            raise ValueError(f"{patients[patients.duplicated()].iloc[0]} is in the test part of two folds.")
        found[architecture] = pd.concat(tables, ignore_index=True)
    return found


def fold_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Volume Dice of all patients, of each site, and of each quarter of tumour volume.

    Returns:
        architecture, group, n (patients), mean with low and high (95 %, patients resampled), median.
    """
    rows: list[dict[str, Any]] = []
    for architecture, slices in tables.items():
        patients = volumes(slices)
        known = patients.assign(dice=table_dice(patients)).dropna(subset=["dice"])
        for group, dice in _groups(known):
            resampling = Resampling.of_patients(len(dice))
            low, high = resampling.interval(ratio(resampling.weights @ dice, resampling.weights.sum(axis=1)))
            figures = {"n": len(dice), "mean": float(dice.mean()), "low": low, "high": high, "median": float(np.median(dice))}
            rows.append({"architecture": architecture, "group": group, **figures})
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
    """One sentence for each architecture, beside what is reported."""
    everybody = table[table["group"] == EVERYBODY]
    said = [
        f"{row.architecture}: mean {row.mean:.3f} ({row.low:.3f} to {row.high:.3f}), median {row.median:.3f}, {row.n} patients"
        for row in everybody.itertuples(name="Row")
    ]
    return f"{'; '.join(said)}. Reported: {REPORTED_MEAN} over 22 folds (Buda 2019), {REPORTED_READERS} between two readers."
