"""A folder with images/ and masks/ of equal names: any organ, any 2-D modality, same commands.

The patient is the subfolder of images/ where there is one, else the file name up to its last underscore and number
(``liver07_012.png`` is slice 12 of patient liver07), else the whole name. An optional split.csv (patient, split) says
who is in train, val and test; without one, patients are dealt by a hash of their name, 70/15/15. An optional
data_set.json says what the images show: the fields of `DataSetDescription`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from resunet.data import splits
from resunet.data.description import DataSetDescription
from resunet.data.pairing import IMAGES, MASKS, pair_files
from resunet.data.slices import SliceRecord
from resunet.errors import InputError
from resunet.reading.names import stem_of


def is_folder_dataset(root: Path) -> bool:
    """Whether `root` holds images/ and masks/, in whatever case."""
    return len(_two_folders(root)) == 2


def _two_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*") if path.is_dir() and path.name.lower() in (IMAGES, MASKS))


def records(root: Path) -> list[SliceRecord]:
    """Slices of the folder by patient and number.

    Raises:
        InputError: an image has no mask, or two different images are the same slice of the same patient.
    """
    names = [path.relative_to(root).as_posix() for folder in _two_folders(root) for path in folder.rglob("*") if path.is_file()]
    pairing = pair_files(names, identity=lambda name: name)
    if pairing.without_mask:
        image = pairing.without_mask[0]
        expected = f"{MASKS}/{stem_of(image).partition('/')[2]}.png"
        raise InputError(f"{image} has no mask; a file {expected} is expected.")
    return [SliceRecord(pair.patient, pair.number, root / pair.image, root / pair.mask) for pair in pairing.pairs]


def describe(root: Path) -> DataSetDescription:
    """What the folder's data_set.json says about it; its name alone where there is none. Raises InputError."""
    path = root / "data_set.json"
    if not path.exists():
        return DataSetDescription(root.resolve().name)
    try:
        return DataSetDescription.parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} must be a JSON object with a name and other fields of a data set ({error}).") from None


def split_table(root: Path, slices: Sequence[SliceRecord]) -> pd.DataFrame:
    """split.csv of the folder, or the split by hashed patient name. Raises InputError when a patient is unlisted."""
    patients = sorted({record.patient for record in slices})
    if (root / "split.csv").exists():
        table = splits.read_split(root / "split.csv")
        unlisted = sorted(set(patients) - set(table["patient"].astype(str)))
        if unlisted:
            raise InputError(f"{root / 'split.csv'} does not list patient {unlisted[0]}; every patient needs a row.")
        return table.astype({"patient": str})
    ordered = sorted(patients, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    test = max(1, round(0.15 * len(ordered)))
    val = max(1, round(0.15 * len(ordered)))
    if len(ordered) < 3:
        raise InputError(f"{root} holds {len(ordered)} patients; at least 3 are needed for train, val and test.")
    names = ["test"] * test + ["val"] * val + ["train"] * (len(ordered) - test - val)
    return pd.DataFrame({"patient": ordered, "split": names}).sort_values("patient", ignore_index=True)
