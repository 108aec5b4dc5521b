"""From a data folder to its slices and splits: recognises the layouts of LGG, of BraTS slices, and of images/ and masks/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from resunet.data import brats, folder, lgg, no_tumour, splits, t1ce
from resunet.data.description import DataSetDescription
from resunet.data.slices import Slice
from resunet.errors import InputError
from resunet.files import file_sha256


@dataclass(frozen=True)
class Splits:
    """The slices of each split, what the data show, and the scheme and a text that changes when the splits do.

    `people_without_tumour` are further slices of "train" and "val", where they were asked for.
    """

    train: list[Slice]
    val: list[Slice]
    test: list[Slice]
    description: DataSetDescription
    scheme: str
    split_hash: str
    people_without_tumour: Mapping[str, Sequence[Slice]] = field(default_factory=dict)

    def seen(self, split: str) -> list[Slice]:
        """What training ('train') or its choices ('val') see: the split with the people without a tumour."""
        return [*self.slices(split), *self.people_without_tumour.get(split, ())]

    def slices(self, split: str) -> list[Slice]:
        """Slices of 'train', 'val', 'test', or 'buda10': the test patients for whom another network's Dice is published."""
        if split == "buda10":
            return [record for record in self.test if record.patient in splits.BUDA_TEN]
        return {"train": self.train, "val": self.val, "test": self.test}[split]


def open_splits(
    data: str | Path | None = None, scheme: str = "patient", data_set: str = "LGG", without_tumour: bool = False
) -> Splits:
    """Slices under `data` (or where the data set's environment variable says) in three splits.

    Args:
        data: a folder in the layout of a data set, or with images/ and masks/.
        scheme: "patient" for the committed split, "foldK" for fold K of it as test, "slice" for random slices.
        data_set: "LGG" or "T1CE", which `data` holds unless it is another folder with images/ and masks/.
        without_tumour: whether people without a tumour (``NO_TUMOUR_DATA``) join the training and validation of LGG.

    Raises:
        InputError: no data there, or a listed patient is missing.
    """
    if data_set == "T1CE" or (data is not None and t1ce.is_t1ce(Path(data))):
        dealt = t1ce.split(t1ce.records(t1ce.find_root(data)), scheme)
        return Splits(*dealt, t1ce.DESCRIPTION, scheme, file_sha256(t1ce.TABLE_FILE))
    if data is not None and folder.is_folder_dataset(Path(data)):
        root = Path(data)
        records = folder.records(root)
        table = folder.split_table(root, records)
        split_hash = str(pd.util.hash_pandas_object(table).sum())
        return _by_patient(records, table, folder.describe(root), "patient", split_hash)
    people = no_tumour.split(scheme) if without_tumour else {}
    return replace(_open_lgg(lgg.find_root(data), scheme), people_without_tumour=people)


def _open_lgg(root: Path, scheme: str) -> Splits:
    if scheme == "slice":
        dealt = splits.split_by_slice(lgg.records(root))
        return Splits(*dealt, lgg.DESCRIPTION, scheme, "slices of all patients, seed 2025")
    table = splits.read_split()
    listed = set(table["patient"])
    patients = [patient for patient in lgg.patients(root) if patient in listed]
    if not patients:
        raise InputError(f"None of the patients of the split file is in {root}.")
    if scheme.startswith("fold"):
        table = splits.fold_table(table, int(scheme.removeprefix("fold")))
    return _by_patient(lgg.records(root, patients), table, lgg.DESCRIPTION, scheme, file_sha256(splits.SPLIT_FILE))


def find_slices(
    data: str | Path | None, split: str, scheme: str, data_set: str = "LGG"
) -> tuple[Sequence[Slice], DataSetDescription]:
    """The slices of a split, or of 'all' patients, and what the data show. Raises InputError where there is none."""
    if split == "all":
        slices, description = all_slices(data, data_set)
    elif data is not None and no_tumour.is_no_tumour(Path(data)):
        slices = list(no_tumour.split(scheme, data).get(split, ()))
        description = no_tumour.DESCRIPTION
    else:
        splits = open_splits(data, scheme, data_set)
        slices = list(splits.slices(split))
        description = splits.description
    if not slices:
        raise InputError(f"The data hold no slice of the split '{split}'.")
    return slices, description


def _by_patient(
    records: Sequence[Slice], table: pd.DataFrame, description: DataSetDescription, scheme: str, split_hash: str
) -> Splits:
    split_of = dict(zip(table["patient"], table["split"], strict=True))
    train, val, test = ([record for record in records if split_of[record.patient] == name] for name in splits.SPLITS)
    return Splits(train, val, test, description, scheme, split_hash)


def data_set_of(description: DataSetDescription) -> str:
    """The data set of a model as recipes name it: T1CE for that set, else LGG, the default."""
    return "T1CE" if description.name == t1ce.DESCRIPTION.name else "LGG"


def is_known_set(root: Path) -> bool:
    """Whether a folder is one of the published sets that are read slice by slice, whatever volumes lie beside their slices."""
    return brats.is_brats(root) or no_tumour.is_no_tumour(root) or t1ce.is_t1ce(root)


def all_slices(data: str | Path | None, data_set: str = "LGG") -> tuple[list[Slice], DataSetDescription]:
    """Every slice found under `data`, listed in a split file or not, and what the data show. Raises InputError."""
    if data is not None and brats.is_brats(Path(data)):
        return list(brats.records(Path(data))), brats.DESCRIPTION
    if data is not None and no_tumour.is_no_tumour(Path(data)):
        return list(no_tumour.records(Path(data))), no_tumour.DESCRIPTION
    if (data is None and data_set == "T1CE") or (data is not None and t1ce.is_t1ce(Path(data))):
        return list(t1ce.records(t1ce.find_root(data))), t1ce.DESCRIPTION
    if data is not None and folder.is_folder_dataset(Path(data)):
        return list(folder.records(Path(data))), folder.describe(Path(data))
    return list(lgg.records(lgg.find_root(data))), lgg.DESCRIPTION
