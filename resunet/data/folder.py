"""A folder with images/ and masks/ of equal names: any organ, any 2-D modality, same commands.

The patient is the subfolder of images/ where there is one, else the file name up to its last underscore and number
(``liver07_012.png`` is slice 12 of patient liver07), else the whole name. An optional split.csv (patient, split) says
who is in train, val and test; without one, patients are dealt by a hash of their name, 70/15/15. An optional
data_set.json says what the images show: the fields of `DataSetDescription`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from resunet.data import splits
from resunet.data.description import DataSetDescription
from resunet.data.slices import SliceRecord
from resunet.errors import InputError

NUMBERED = re.compile(r"^(?P<patient>.+)_(?P<number>[0-9]{1,9})$")


def is_folder_dataset(root: Path) -> bool:
    """Whether `root` holds images/ and masks/."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def records(root: Path) -> list[SliceRecord]:
    """Slices of the folder by patient and number. Raises InputError when an image has no mask."""
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file()]
    return [SliceRecord(pair.patient, pair.number, root / pair.image, root / pair.mask) for pair in pair_names(names)]


def describe(root: Path) -> DataSetDescription:
    """What the folder's data_set.json says about it; its name alone where there is none. Raises InputError."""
    path = root / "data_set.json"
    if not path.exists():
        return DataSetDescription(root.resolve().name)
    try:
        return DataSetDescription.parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} must be a JSON object with a name and other fields of a data set ({error}).") from None


class Pair(NamedTuple):
    """An image and its mask by their names in a folder or an archive."""

    patient: str
    number: int
    image: str
    mask: str


def pair_names(names: Iterable[str]) -> list[Pair]:
    """Images and masks among the names below a data set's root, by patient and number.

    Raises:
        InputError: an image has no mask, or two images are the same slice of the same patient.
    """
    paths = [path for path in map(PurePosixPath, sorted(names)) if path.parts[1:] and not path.name.startswith(".")]
    masks = {_key(path): path for path in paths if path.parts[0] == "masks"}
    pairs = []
    for position, image in enumerate(path for path in paths if path.parts[0] == "images"):
        key = _key(image)
        mask = masks.get(key) or masks.get(f"{key}_mask")
        if mask is None:
            raise InputError(f"{image} has no mask; a file masks/{key}.png is expected.")
        pairs.append(Pair(*_patient_and_number(image, position), str(image), str(mask)))
    return check_distinct(sorted(pairs))


def check_distinct(pairs: list[Pair]) -> list[Pair]:
    """The sorted pairs. Raises InputError when two of them are the same slice of the same patient."""
    for one, other in itertools.pairwise(pairs):
        if (one.patient, one.number) == (other.patient, other.number):
            raise InputError(f"{one.image} and {other.image} are both slice {one.number} of {one.patient}; number them apart.")
    return pairs


def _key(path: PurePosixPath) -> str:
    return PurePosixPath(*path.parts[1:]).with_suffix("").as_posix()


def _patient_and_number(image: PurePosixPath, position: int) -> tuple[str, int]:
    numbered = NUMBERED.match(image.stem)
    number = int(numbered["number"]) if numbered else position
    if len(image.parts) > 2:
        return PurePosixPath(*image.parts[1:-1]).as_posix(), number
    return (numbered["patient"] if numbered else image.stem), number


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
    test, val = max(1, round(0.15 * len(ordered))), max(1, round(0.15 * len(ordered)))
    if len(ordered) < 3:
        raise InputError(f"{root} holds {len(ordered)} patients; at least 3 are needed for train, val and test.")
    names = ["test"] * test + ["val"] * val + ["train"] * (len(ordered) - test - val)
    return pd.DataFrame({"patient": ordered, "split": names}).sort_values("patient", ignore_index=True)
