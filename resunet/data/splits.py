"""Which patient is in which split: the committed split by patient, and the random split by slice that shows leakage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from resunet.data.slices import Slice
from resunet.errors import InputError

SPLIT_FILE = Path(__file__).with_name("lgg_split.csv")
SPLITS = ("train", "val", "test")
FOLDS = 5

# The ten patients on which mateuszbuda/brain-segmentation-pytorch publishes mean volume Dice 0.91, median 0.92.
BUDA_TEN = (
    "TCGA_CS_4944_20010208",
    "TCGA_CS_6667_20011105",
    "TCGA_CS_6668_20011025",
    "TCGA_DU_5851_19950428",
    "TCGA_DU_6404_19850629",
    "TCGA_DU_6408_19860521",
    "TCGA_DU_7014_19860618",
    "TCGA_HT_7616_19940813",
    "TCGA_HT_7692_19960724",
    "TCGA_HT_7879_19981009",
)


NO_SITE = "-"
# Buda, Saha and Mazurowski 2019, which name the five institutions.
SITE_NAMES = {
    "CS": "Thomas Jefferson University",
    "DU": "Henry Ford Hospital",
    "EZ": "University of North Carolina",
    "FG": "Case Western",
    "HT": "Case Western, St. Joseph's",
}


def site(patient: str) -> str:
    """The hospital code in a TCGA patient name, e.g. 'CS' for TCGA_CS_4944_20010208; NO_SITE for other names."""
    words = str(patient).split("_")
    return words[1] if words[0] == "TCGA" and len(words) > 2 else NO_SITE


def site_name(code: str) -> str:
    """What people call a site: the institution behind its code, or the code."""
    return SITE_NAMES.get(code, code)


def draw_by_site(patients: Sequence[str], count: int, rng: np.random.Generator) -> set[str]:
    """`count` patients, each site by its share, largest remainders rounded up."""
    sites = pd.Series([site(patient) for patient in patients]).value_counts().sort_index()
    exact = sites * count / sites.sum()
    quota = exact.astype(int)
    for name in (exact - quota).sort_values(ascending=False, kind="stable").index[: count - int(quota.sum())]:
        quota[name] += 1
    drawn: set[str] = set()
    for name, number in quota.items():
        pool = [patient for patient in patients if site(patient) == name]
        drawn.update(str(patient) for patient in rng.choice(pool, size=number, replace=False))
    return drawn


def read_split(path: Path = SPLIT_FILE) -> pd.DataFrame:
    """The split table. Raises InputError when a column is missing or a patient is listed twice."""
    try:
        table = pd.read_csv(path, dtype={"patient": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"The split file {path} cannot be read ({error}).") from error
    missing = {"patient", "split"} - set(table.columns)
    if missing or table["patient"].duplicated().any() or not table["split"].isin(SPLITS).all():
        raise InputError(f"{path} must list each patient once, with columns patient and split ({', '.join(SPLITS)}).")
    return table


def fold_table(table: pd.DataFrame, fold: int, seed: int = 2025) -> pd.DataFrame:
    """The split table with fold `fold` as test and ten others, drawn by site, as validation."""
    test = table["fold"] == fold
    val = draw_by_site(sorted(table.loc[~test, "patient"]), 10, np.random.default_rng([seed, fold]))
    return table.assign(split=np.select([test, table["patient"].isin(val)], ["test", "val"], "train"))


def split_by_slice(records: Sequence[Slice], seed: int = 2025) -> tuple[list[Slice], list[Slice], list[Slice]]:
    """Training, validation and test as random slices 70/15/15, a patient on all sides, as the paper's lineage does.

    For comparison only.
    """
    order = np.random.default_rng(seed).permutation(len(records))
    first, second = int(0.70 * len(records)), int(0.85 * len(records))
    train, val, test = (
        [records[index] for index in sorted(chosen)] for chosen in (order[:first], order[first:second], order[second:])
    )
    return train, val, test
