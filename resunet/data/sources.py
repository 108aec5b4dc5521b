"""From a data folder to its splits: recognises the LGG layout and the images/ masks/ layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resunet.data import folder, lgg, splits
from resunet.data.description import DataSetDescription
from resunet.data.slices import SliceRecord
from resunet.errors import InputError
from resunet.files import file_sha256


@dataclass(frozen=True)
class Splits:
    """The slices of each split, what the data show, and the scheme and a text that changes when the splits do."""

    train: list[SliceRecord]
    val: list[SliceRecord]
    test: list[SliceRecord]
    description: DataSetDescription
    scheme: str
    split_hash: str

    def slices(self, split: str) -> list[SliceRecord]:
        """Slices of 'train', 'val', 'test', or 'buda10': the test patients for whom another network's Dice is published."""
        if split == "buda10":
            return [record for record in self.test if record.patient in splits.BUDA_TEN]
        return {"train": self.train, "val": self.val, "test": self.test}[split]


def open_splits(data: str | Path | None = None, scheme: str = "patient") -> Splits:
    """Slices under `data` (or ``LGG_DATA``) in three splits.

    Args:
        data: a folder in the LGG or the images/ masks/ layout.
        scheme: "patient" for the committed split, "foldK" for fold K of it as test, "slice" for random slices.

    Raises:
        InputError: no data there, or a listed patient is missing.
    """
    if data is not None and folder.is_folder_dataset(Path(data)):
        root = Path(data)
        records = folder.records(root)
        table = folder.split_table(root, records)
        split_hash = str(pd.util.hash_pandas_object(table).sum())
        return _by_patient(records, table, folder.describe(root), "patient", split_hash)
    root = lgg.find_root(data)
    if scheme == "slice":
        by_split = splits.split_by_slice(lgg.records(root))
        return Splits(**by_split, description=lgg.DESCRIPTION, scheme=scheme, split_hash="slices of all patients, seed 2025")
    table = splits.read_split()
    listed = set(table["patient"])
    patients = [patient for patient in lgg.patients(root) if patient in listed]
    if not patients:
        raise InputError(f"None of the patients of the split file is in {root}.")
    if scheme.startswith("fold"):
        table = splits.fold_table(table, int(scheme.removeprefix("fold")))
    return _by_patient(lgg.records(root, patients), table, lgg.DESCRIPTION, scheme, file_sha256(splits.SPLIT_FILE))


def _by_patient(
    records: Sequence[SliceRecord], table: pd.DataFrame, description: DataSetDescription, scheme: str, split_hash: str
) -> Splits:
    split_of = dict(zip(table["patient"], table["split"], strict=True))
    train, val, test = ([record for record in records if split_of[record.patient] == name] for name in splits.SPLITS)
    return Splits(train, val, test, description, scheme, split_hash)


def all_records(data: str | Path | None) -> list[SliceRecord]:
    """Every slice found under `data`, listed in a split file or not."""
    if data is not None and folder.is_folder_dataset(Path(data)):
        return folder.records(Path(data))
    return lgg.records(lgg.find_root(data))
