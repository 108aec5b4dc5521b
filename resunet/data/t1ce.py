"""Other tumours: meningioma, glioma and pituitary tumour on contrast-enhanced T1, in three planes (T1-CE).

Jun Cheng, brain tumour dataset, figshare 1512427 (CC BY 4.0); Cheng et al., PLoS ONE 10(10), 2015. Read as people download
it: figshare's .mat files (MATLAB 7.3, which is HDF5), Kaggle's images/<number>.png and masks/<number>.png, the same in a
folder per patient, or slices/<patient>/<number>.jxl with <number>_mask.png beside it. Which patient, tumour and plane a number
has is in a committed table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.data.description import DataSetDescription
from resunet.data.slices import Slice
from resunet.data.splits import SPLITS, split_by_slice
from resunet.errors import InputError
from resunet.reading.formats.jpegxl import read_grey
from resunet.reading.readers import read_scan
from resunet.reading.scan import Scan, checked_scan

TUMOURS = ("meningioma", "glioma", "pituitary tumour")  # in the order of the labels 1, 2, 3 of the .mat files
DESCRIPTION = DataSetDescription(
    name="Brain tumour dataset (Cheng 2015; figshare 1512427)",
    anatomy="brain",
    modality="MRI",
    target="meningioma, glioma or pituitary tumour",
    channels=("contrast-enhanced T1",),
    classes=TUMOURS,
    planes=("axial", "coronal", "sagittal"),
    sequence="post",
    licence="CC BY 4.0",
    citation="cite Cheng et al. 2015",
    limits=(
        "Every slice of the set shows a tumour, so whether there is one at all could not be learnt from it.",
        "Two hospitals in China, 2005 to 2010; slices 6 mm thick, 8 bit, their order along the axis unknown.",
    ),
    identifier="figshare.com/articles/dataset/1512427",
)
TABLE_FILE = Path(__file__).with_name("t1ce_split.csv")  # number, patient, tumour, plane, fold, split
VALIDATION_PATIENTS = 18
HOW_TO_GET = (
    "Download the 'brain tumor dataset' (figshare 1512427) or its copy on Kaggle, and pass its folder with --data or in the "
    "environment variable T1CE_DATA."
)


@dataclass(frozen=True)
class T1CESlice(Slice):
    """A `Slice` in one of the layouts; in a .mat file, image and mask share `image_path`."""

    patient: str
    number: int
    image_path: Path
    mask_path: Path
    tumour: str
    plane: str

    def image_scan(self) -> Scan:
        """The slice, one channel. Raises InputError when it cannot be read."""
        if self.image_path.suffix == ".mat":
            return checked_scan(self.image_path.name, _mat(self.image_path)["image"][None, ..., None])
        return read_grey(self.image_path) if self.image_path.suffix == ".jxl" else read_scan(self.image_path)

    def mask_scan(self) -> Scan:
        """The outlined tumour. Raises InputError when it cannot be read."""
        if self.mask_path.suffix == ".mat":
            return checked_scan(self.mask_path.name, _mat(self.mask_path)["mask"][None, ..., None])
        return read_scan(self.mask_path)


@cache
def table() -> pd.DataFrame:
    """The committed table: number (index), patient, tumour, plane, fold, split."""
    return pd.read_csv(TABLE_FILE, dtype={"patient": str}).set_index("number")


def is_t1ce(root: Path) -> bool:
    """Whether `root` is unmistakably this set: .mat files, or slices.csv with tumour and plane."""
    try:
        columns = set(pd.read_csv(root / "slices.csv", nrows=0).columns)
    except (OSError, ValueError):
        return next(root.rglob("*.mat"), None) is not None
    return {"number", "tumour", "plane"} <= columns


def find_root(data: str | Path | None = None) -> Path:
    """The folder: the argument, else ``T1CE_DATA``. Raises InputError with where to get the data."""
    given = str(data or os.environ.get("T1CE_DATA", ""))
    if not given:
        raise InputError(f"No T1-CE data set given. {HOW_TO_GET}")
    root = Path(given).expanduser()
    if not root.is_dir():
        raise InputError(f"The data folder {root} does not exist. {HOW_TO_GET}")
    return root


def records(root: Path) -> list[T1CESlice]:
    """All slices under `root`, by patient and number.

    A number that is not in the table keeps the patient and tumour that its .mat file states; in the other layouts, which do
    not state them, it is left out.

    Raises:
        InputError: no slice in any of the layouts, or a slice has no mask.
    """
    slices = [record for image in _images(root) if (record := _record(root, image)) is not None]
    if not slices:
        raise InputError(
            f"{root} holds no slice <number>.mat, images/<number>.png or slices/<patient>/<number>.jxl. {HOW_TO_GET}"
        )
    return sorted(slices, key=lambda record: (record.patient, record.number))


def _images(root: Path) -> list[Path]:
    """Image files named by a number, in the first layout that has any."""
    for pattern in ("images/**/*.png", "slices/**/*.jxl", "**/*.mat"):
        if paths := [path for path in root.glob(pattern) if path.stem.isdigit()]:
            return paths
    return []


def _record(root: Path, image: Path) -> T1CESlice | None:
    number = int(image.stem)
    if image.suffix == ".mat":
        mask = image
    elif image.suffix == ".jxl":
        mask = image.with_name(f"{image.stem}_mask.png")
    else:
        mask = root / "masks" / image.relative_to(root / "images")
    if not mask.exists():
        raise InputError(f"{image} has no mask; {mask} is expected.")
    if number in table().index:
        patient, tumour, plane = (str(table().loc[number, name]) for name in ("patient", "tumour", "plane"))
        return T1CESlice(patient, number, image, mask, tumour, plane)
    if image.suffix != ".mat":
        return None
    stated = _mat(image)
    return T1CESlice(stated["patient"], number, image, mask, stated["tumour"], "")


def _mat(path: Path) -> dict[str, Any]:
    """What a .mat file states: image (H, W) int16, mask (H, W) uint8, patient, tumour. Raises InputError."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise InputError("Reading .mat files takes h5py; run pip install -r requirements-train.txt.") from None
    try:
        with h5py.File(path) as file:
            slice_ = file["cjdata"]
            image, mask = (_plane(slice_[name]) for name in ("image", "tumorMask"))
            tumour = TUMOURS[int(np.ravel(slice_["label"][()])[0]) - 1]
            patient = "".join(chr(code) for code in np.ravel(slice_["PID"][()]))
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{path} is not a .mat file of this set: cjdata with image, tumorMask, label, PID ({error})."
        ) from None
    return {"image": image, "mask": mask, "patient": patient, "tumour": tumour}


def _plane(stored: Any) -> npt.NDArray[Any]:
    """A matrix as MATLAB shows it: HDF5 holds its columns one after the other."""
    return np.ascontiguousarray(np.asarray(stored[()]).T)


def split(slices: Sequence[T1CESlice], scheme: str) -> tuple[list[Slice], list[Slice], list[Slice]]:
    """The slices of training, validation and test; patients who are not in the table are in none of them.

    Args:
        scheme: "patient" (test is fold 0), "foldK" (test is fold K), or "slice" (random slices).
    """
    if scheme == "slice":
        return split_by_slice([record for record in slices if record.number in table().index])
    patients = patient_table(scheme)
    split_of = dict(zip(patients["patient"], patients["split"], strict=True))
    train, val, test = ([record for record in slices if split_of.get(record.patient) == name] for name in SPLITS)
    return list(train), list(val), list(test)


def patient_table(scheme: str = "patient") -> pd.DataFrame:
    """One row a patient: patient, tumour, fold and the split under `scheme` ("patient" or "foldK")."""
    patients = table().groupby("patient", as_index=False)[["tumour", "fold", "split"]].first()
    if not scheme.startswith("fold"):
        return patients
    fold = int(scheme.removeprefix("fold"))
    return deal(patients, fold)


def deal(patients: pd.DataFrame, fold: int, seed: int = 2025) -> pd.DataFrame:
    """The patients (patient, tumour, fold), fold `fold` as test; of the others six with each tumour as validation."""
    rng = np.random.default_rng([seed, fold])
    test = patients["fold"] == fold
    drawn: set[str] = set()
    for tumour in TUMOURS:
        pool = sorted(patients.loc[~test & (patients["tumour"] == tumour), "patient"])
        drawn.update(rng.choice(pool, VALIDATION_PATIENTS // len(TUMOURS), replace=False))
    return patients.assign(split=np.select([test, patients["patient"].isin(drawn)], ["test", "val"], "train"))
