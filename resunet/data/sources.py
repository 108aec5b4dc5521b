"""From a data folder to its parts: recognises the LGG layout and the images/ masks/ layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from resunet.data import folder, lgg, splits
from resunet.data.slices import SliceRecord
from resunet.errors import InputError


@dataclass(frozen=True)
class Parts:
    """The slices of each part, and what fixed them: the protocol, and the split's SHA-256."""

    train: list[SliceRecord]
    val: list[SliceRecord]
    test: list[SliceRecord]
    protocol: str
    split_hash: str

    def part(self, name: str) -> list[SliceRecord]:
        """Slices of 'train', 'val', 'test' or 'all'."""
        return self.train + self.val + self.test if name == "all" else list(getattr(self, name))


def open_parts(data: str | Path | None = None, protocol: str = "patient") -> Parts:
    """Slices under `data` (or ``LGG_DATA``) in three parts.

    Args:
        data: a folder in the LGG or the images/ masks/ layout.
        protocol: "patient" for the committed split, "foldK" for fold K of it as test, "slice" for random slices.

    Raises:
        InputError: no data there, or a listed patient is missing.
    """
    if data is not None and folder.is_folder_dataset(Path(data)):
        records = folder.records(Path(data))
        table = folder.split_table(Path(data), records)
        return _by_patient(records, table, str(pd.util.hash_pandas_object(table).sum()))
    root = lgg.find_root(data)
    if protocol == "slice":
        pieces = splits.split_by_slice(lgg.records(root))
        return Parts(pieces["train"], pieces["val"], pieces["test"], protocol, "slices of all patients, seed 2025")
    table = splits.read_split()
    there = [patient for patient in lgg.patients(root) if patient in set(table["patient"])]
    if not there:
        raise InputError(f"None of the patients of the split file is in {root}.")
    if protocol.startswith("fold"):
        table = splits.fold_table(table, int(protocol.removeprefix("fold")))
    return replace(_by_patient(lgg.records(root, there), table, splits.split_hash()), protocol=protocol)


def _by_patient(records: Sequence[SliceRecord], table: pd.DataFrame, split_hash: str) -> Parts:
    part_of = dict(zip(table["patient"], table["split"], strict=True))
    pieces = {part: [record for record in records if part_of[record.patient] == part] for part in splits.PARTS}
    return Parts(pieces["train"], pieces["val"], pieces["test"], "patient", split_hash)


def all_records(data: str | Path | None) -> list[SliceRecord]:
    """Every slice found under `data`, listed in a split file or not."""
    if data is not None and folder.is_folder_dataset(Path(data)):
        return folder.records(Path(data))
    return lgg.records(lgg.find_root(data))
