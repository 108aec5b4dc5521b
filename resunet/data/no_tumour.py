"""People without a tumour: FLAIR of ten people with multiple sclerosis, as slices that show nothing to outline.

Longitudinal MR database of Ljubljana (Lesjak et al., Neuroinformatics 14, 2016; CC BY) and MSLesSeg (CC BY 4.0), in a folder
of slices/<volume>/<slice>.jxl with slices.csv (subject, volume, slice); <slice>_lesions.png outlines what is not a tumour.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from resunet.data.description import DataSetDescription
from resunet.data.slices import Slice
from resunet.errors import InputError
from resunet.reading.formats.jpegxl import read_grey
from resunet.reading.readers import read_mask
from resunet.reading.scan import BoolMask, Scan, checked_scan, single_slice

DESCRIPTION = DataSetDescription(
    name="People without a tumour (Ljubljana, Lesjak 2016; MSLesSeg)",
    anatomy="brain",
    modality="MRI",
    target="nothing: these people have multiple sclerosis and no tumour",
    channels=("FLAIR",),
    sequence="flair",
    licence="CC BY 4.0",
    citation="cite Lesjak et al. 2016 and the MSLesSeg data set",
)
TABLE_FILE = Path(__file__).with_name("no_tumour_split.csv")  # person, source, split, fold
SLICES = "slices.csv"
COLUMNS = ["subject", "volume", "slice"]
FOLDS = 5
HOW_TO_GET = (
    "Set NO_TUMOUR_DATA to the folder with their slices.csv; a recipe whose without_tumour_share is 0 trains without them."
)


@dataclass(frozen=True)
class NoTumourSlice(Slice):
    """A FLAIR slice of a person without a tumour; its mask is empty, and `lesions` are of multiple sclerosis.

    `patient` is the person, `volume` one of the examinations, `number` the place in the examination.
    """

    without_tumour: ClassVar[bool] = True

    patient: str
    number: int
    path: Path  # named by the source's own number, which may count in fives
    volume: str

    def image_scan(self) -> Scan:
        """The slice, FLAIR alone. Raises InputError when it cannot be read."""
        return read_grey(self.path)

    def mask_scan(self) -> Scan:
        """An empty mask of the slice's size. Raises InputError when the slice cannot be read."""
        empty = np.zeros((1, *single_slice(self.image_scan()).shape[:2], 1), np.uint8)
        return checked_scan(f"The mask of {self.volume}, slice {self.number}", empty)

    def lesions(self) -> BoolMask | None:
        """Lesions of multiple sclerosis, (H, W), or None where the source publishes no outline of them."""
        path = self.path.with_name(f"{self.path.stem}_lesions.png")
        return read_mask(path) if path.exists() else None


def is_no_tumour(root: Path) -> bool:
    """Whether `root` holds people without a tumour."""
    try:
        return set(COLUMNS) <= set(pd.read_csv(root / SLICES, nrows=0).columns)
    except (OSError, ValueError):
        return False


def find_root(data: str | Path | None = None) -> Path:
    """The folder: the argument, else ``NO_TUMOUR_DATA``. Raises InputError with where to get it."""
    given = str(data or os.environ.get("NO_TUMOUR_DATA", ""))
    if not given:
        raise InputError(f"People without a tumour belong to this training, but no folder of them is given. {HOW_TO_GET}")
    if not is_no_tumour(Path(given)):
        raise InputError(f"{given} holds no slices.csv with the columns {', '.join(COLUMNS)}. {HOW_TO_GET}")
    return Path(given)


def records(root: Path) -> list[NoTumourSlice]:
    """All slices by person, examination and place. Raises InputError where the table cannot be used."""
    try:
        table = pd.read_csv(root / SLICES, dtype={"subject": str, "volume": str})[COLUMNS].sort_values(COLUMNS)
        columns = (table[name].tolist() for name in COLUMNS)
        places = table.groupby("volume").cumcount().tolist()
        return [
            NoTumourSlice(person, place, root / "slices" / volume / f"{number:03d}.jxl", volume)
            for person, volume, number, place in zip(*columns, places, strict=True)
        ]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{root / SLICES} must be a table with the columns {', '.join(COLUMNS)} ({error}).") from None


def split(scheme: str = "patient", data: str | Path | None = None) -> dict[str, list[NoTumourSlice]]:
    """Slices of "train", "val" and "test" people; all examinations of a person are in one of them.

    Args:
        scheme: "foldK" tests the people of fold K and validates on those of the next one; any other is the committed split.
        data: the folder, else ``NO_TUMOUR_DATA``.
    """
    table = pd.read_csv(TABLE_FILE)
    if scheme.startswith("fold"):
        fold = int(scheme.removeprefix("fold"))
        held_out = [table["fold"] == fold, table["fold"] == (fold + 1) % FOLDS]
        table = table.assign(split=np.select(held_out, ["test", "val"], "train"))
    split_of = dict(zip(table["person"], table["split"], strict=True))
    return _dealt(records(find_root(data)), split_of)


def _dealt(slices: Sequence[NoTumourSlice], split_of: dict[str, str]) -> dict[str, list[NoTumourSlice]]:
    """The slices by split; of people who are not listed, nothing was trained: they are test."""
    dealt: dict[str, list[NoTumourSlice]] = {"train": [], "val": [], "test": []}
    for record in slices:
        dealt[split_of.get(record.patient, "test")].append(record)
    return dealt
