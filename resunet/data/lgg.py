"""The LGG data set in the layout that Kaggle ships: kaggle_3m/<patient>/<patient>_<n>.tif and ..._<n>_mask.tif.

Buda, Saha, Mazurowski, Computers in Biology and Medicine 109 (2019). Licence CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from resunet.data.description import DataSetDescription
from resunet.data.slices import Slice, SliceRecord
from resunet.errors import InputError
from resunet.reading.scan import Scan, checked_scan

DESCRIPTION = DataSetDescription(
    name="LGG MRI segmentation (Buda, Saha, Mazurowski 2019; TCGA-LGG)",
    anatomy="brain",
    modality="MRI",
    target="the FLAIR abnormality of lower-grade gliomas",
    channels=("pre-contrast", "FLAIR", "post-contrast"),
    sequence="flair",
    licence="CC BY-NC-SA 4.0",
    citation="cite Buda et al. 2019 and Mazurowski et al. 2017",
    limits=(
        "Lower-grade gliomas from five hospitals; every patient has a tumour. Other diseases, children, scanners and "
        "sequences were not seen.",
        "Masks outline the FLAIR abnormality, oedema included, not the enhancing tumour.",
    ),
    identifier="mateuszbuda/lgg-mri-segmentation",
)
# Columns of data.csv, what they are called here, and what their numbers stand for (TCGA-LGG).
CLINICAL = {
    "histological_type": ("Histology", {1.0: "astrocytoma", 2.0: "oligoastrocytoma", 3.0: "oligodendroglioma"}),
    "neoplasm_histologic_grade": ("Grade", {1.0: "grade II", 2.0: "grade III"}),
}
FLAIR, POST_CONTRAST = 1, 2  # channels
AIR = 10  # grey level under which nine tenths of a slice lie where it shows no head
PATIENT_ID_LENGTH = len("TCGA_CS_4941")
HOW_TO_GET = (
    "Download 'mateuszbuda/lgg-mri-segmentation' from Kaggle and pass the folder that holds kaggle_3m with --data "
    "or in the environment variable LGG_DATA."
)


def find_root(data: str | Path | None = None) -> Path:
    """The folder of patient folders: the argument, else ``LGG_DATA``. Accepts kaggle_3m itself or a folder above it.

    Raises:
        InputError: nothing given, or no patient folder there; the message says where to get the data.
    """
    given = str(data or os.environ.get("LGG_DATA", ""))
    if not given:
        raise InputError(f"No LGG data set given. {HOW_TO_GET}")
    root = Path(given).expanduser()
    if not root.is_dir():
        raise InputError(f"The data folder {root} does not exist. {HOW_TO_GET}")
    for candidate in (root, root / "kaggle_3m", root / "lgg-mri-segmentation" / "kaggle_3m"):
        if any(candidate.glob("*/*_mask.tif")):
            return candidate
    raise InputError(f"{root} holds no <patient>/<patient>_<n>_mask.tif. {HOW_TO_GET}")


def clinical(root: Path, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Histology and grade of patients from data.csv beside their folders: {"Histology": {patient: words}, "Grade": ...}.

    Patients are listed there without their date, kinds as numbers. Empty where the table is missing or not as shipped.
    """
    try:
        table = pd.read_csv(root / "data.csv").set_index("Patient")[list(CLINICAL)]
    except (OSError, ValueError, KeyError):
        return {}
    rows = table.to_dict("index")
    codes = {name: rows[name[:PATIENT_ID_LENGTH]] for name in names if name[:PATIENT_ID_LENGTH] in rows}
    return {
        label: {name: words.get(row[column], "not known") for name, row in codes.items()}
        for column, (label, words) in CLINICAL.items()
    }


def patients(root: Path) -> list[str]:
    """Names of the patient folders, sorted."""
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir() and any(folder.glob("*.tif")))


def records(root: Path, wanted: list[str] | None = None) -> list[SliceRecord]:
    """Slices of the wanted patients (all by default), by patient and slice number.

    Raises:
        InputError: a wanted patient is not there, has no slice, or a slice has no mask.
    """
    slices: list[SliceRecord] = []
    for patient in patients(root) if wanted is None else sorted(wanted):
        slices.extend(_patient_records(root / patient))
    return slices


@dataclass(frozen=True)
class PostContrastSlice(Slice):
    """The post-contrast channel of a slice of this set, alone."""

    patient: str
    number: int
    record: Slice

    def image_scan(self) -> Scan:
        """That channel. Raises InputError when the file cannot be read."""
        scan = self.record.image_scan()
        return checked_scan(scan.name, scan.slices[..., POST_CONTRAST : POST_CONTRAST + 1])

    def mask_scan(self) -> Scan:
        """The mask file. Raises InputError when it cannot be read."""
        return self.record.mask_scan()


def post_contrast_without_tumour(slices: Iterable[Slice]) -> list[Slice]:
    """Post-contrast slices that show no tumour and some tissue, of patients whose third channel does not repeat FLAIR."""
    chosen: list[Slice] = []
    for record in slices:
        image = record.image()
        post = np.asarray(image[..., POST_CONTRAST], np.float32)
        if not record.mask().any() and (post != image[..., FLAIR]).any() and float(np.percentile(post, 90)) > AIR:
            chosen.append(PostContrastSlice(record.patient, record.number, record))
    return chosen


def _patient_records(folder: Path) -> list[SliceRecord]:
    if not folder.is_dir():
        raise InputError(f"Patient {folder.name} is not in {folder.parent}; the split file expects it.")
    images = [path for path in folder.glob(f"{folder.name}_*.tif") if not path.stem.endswith("_mask")]
    if not images:
        raise InputError(f"Patient folder {folder} holds no slice named {folder.name}_<n>.tif.")
    slices = []
    for image in images:
        number = image.stem.removeprefix(f"{folder.name}_")
        mask = image.with_name(f"{image.stem}_mask.tif")
        if not number.isdigit():
            raise InputError(f"{image} is not named {folder.name}_<n>.tif with a slice number n.")
        if not mask.exists():
            raise InputError(f"{image} has no mask beside it; {mask.name} is expected.")
        slices.append(SliceRecord(folder.name, int(number), image, mask))
    return sorted(slices, key=lambda record: record.number)
