"""External test slices: BraTS 2020 as slices.npz (image, label) with slices.csv (patient, slice), skull-stripped, 1 mm.

Menze et al., IEEE Transactions on Medical Imaging 34 (2015); Bakas et al., Scientific Data 4 (2017) and arXiv:1811.02629
(2018). Nothing is trained or chosen on them.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.data.description import DataSetDescription
from resunet.data.slices import Slice
from resunet.errors import InputError
from resunet.reading.scan import Scan, checked_scan

DESCRIPTION = DataSetDescription(
    name="BraTS 2020 (Menze 2015; Bakas 2017, 2018)",
    anatomy="brain",
    modality="MRI",
    target="the whole tumour of gliomas, most of them glioblastomas",
    channels=("pre-contrast", "FLAIR", "post-contrast"),
    sequence="flair",
    licence="research and education",
    citation="cite Menze et al. 2015 and Bakas et al. 2017 and 2018",
)
DIFFERENCES = (
    "The external slices are of glioblastomas, not lower-grade gliomas; skull-stripped, by other scanners, one to three per "
    "patient, cut to the central 208 mm and scaled to 256 pixels."
)
SLICES, ARRAYS = "slices.csv", "slices.npz"
FIELD_OF_VIEW = 208  # millimetres, and so pixels, about the centre: heads then fill the frame as those of the LGG set do
FRAME = 256  # pixels that the field of view is scaled to, as the LGG set has


def is_brats(root: Path) -> bool:
    """Whether `root` holds the two files."""
    return (root / SLICES).is_file() and (root / ARRAYS).is_file()


@dataclass(frozen=True)
class BratsSlice(Slice):
    """A `Slice` in row `row` of the arrays, cut to the central FIELD_OF_VIEW and scaled to FRAME pixels."""

    patient: str
    number: int
    root: Path
    row: int

    def image_scan(self) -> Scan:
        """The image (256, 256, 3) float32. Raises InputError when it cannot be read."""
        image = _framed(_arrays(self.root)[0][self.row].astype(np.float32), cv2.INTER_LINEAR)
        return checked_scan(f"{self.patient}, slice {self.number}", image[None], (FIELD_OF_VIEW / FRAME,) * 2)

    def mask_scan(self) -> Scan:
        """The mask (256, 256), any label of tumour. Raises InputError when it cannot be read."""
        mask = _framed((_arrays(self.root)[1][self.row] > 0).astype(np.uint8), cv2.INTER_NEAREST_EXACT)
        return checked_scan(f"The mask of {self.patient}, slice {self.number}", mask[None, ..., None])


def records(root: Path) -> list[BratsSlice]:
    """The slices by patient and number. Raises InputError where the two files do not belong together."""
    try:
        table = pd.read_csv(root / SLICES, dtype={"patient": str})
        rows = zip(table["patient"], table["slice"], strict=True)
        slices = [BratsSlice(patient, int(number), root, row) for row, (patient, number) in enumerate(rows)]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{root / SLICES} must be a table with the columns patient and slice ({error}).") from None
    if len(slices) != len(_arrays(root)[0]):
        raise InputError(f"{root / SLICES} lists {len(slices)} slices, but {ARRAYS} holds {len(_arrays(root)[0])}.")
    return sorted(slices, key=lambda record: (record.patient, record.number))


def _arrays(root: Path) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """Images (N, H, W, 3) and labels (N, H, W)."""
    return _read(root, (root / ARRAYS).stat().st_mtime)


@lru_cache(maxsize=1)
def _read(root: Path, changed: float) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    try:
        with np.load(root / ARRAYS, allow_pickle=False) as file:
            images, labels = file["image"], file["label"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{root / ARRAYS} must hold the arrays image and label ({error}).") from None
    if images.ndim != 4 or images.shape[:3] != labels.shape or min(images.shape[1:3]) < FIELD_OF_VIEW:
        raise InputError(f"{root / ARRAYS} must hold images (N, H, W, 3) and labels (N, H, W) of {FIELD_OF_VIEW} mm or more.")
    return images, labels


def _framed(plane: npt.NDArray[np.generic], interpolation: int) -> npt.NDArray[np.generic]:
    top, left = ((side - FIELD_OF_VIEW) // 2 for side in plane.shape[:2])
    central = np.ascontiguousarray(plane[top : top + FIELD_OF_VIEW, left : left + FIELD_OF_VIEW])
    return cv2.resize(central, (FRAME, FRAME), interpolation=interpolation)
