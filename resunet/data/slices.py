"""What a data set is here: a list of slices that know their patient, their files and how to read them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from resunet.data.transforms import FloatImage, fit_to_grid, normalise
from resunet.errors import InputError
from resunet.reading.readers import read_scan
from resunet.reading.scan import BoolMask, Placement, Scan, mask_of, single_slice

PLACEMENT_TOLERANCE = 0.1  # millimetres


class Slice(ABC):
    """One slice of a data set, wherever its files lie. `number` orders the slices of a patient.

    `tumour` is the kind of tumour, `plane` the plane and `volume` which of a patient's examinations it is from, where the set
    tells them; `without_tumour` marks people who have none.
    """

    patient: str
    number: int
    tumour: str = ""
    plane: str = ""
    volume: str = ""
    without_tumour: ClassVar[bool] = False

    @abstractmethod
    def image_scan(self) -> Scan:
        """The image file. Raises InputError when it cannot be read."""

    @abstractmethod
    def mask_scan(self) -> Scan:
        """The mask file. Raises InputError when it cannot be read."""

    def image(self) -> npt.NDArray[np.generic]:
        """The slice as stored, (H, W, 3). Raises InputError when the file cannot be used."""
        return single_slice(self.image_scan())

    def mask(self) -> BoolMask:
        """The tumour mask, (H, W) bool. Raises InputError when the file cannot be used."""
        return mask_of(self.mask_scan())


@dataclass(frozen=True)
class SliceRecord(Slice):
    """A `Slice` on disk."""

    patient: str
    number: int
    image_path: Path
    mask_path: Path

    def image_scan(self) -> Scan:
        """The image file. Raises InputError when it cannot be read."""
        return read_scan(self.image_path)

    def mask_scan(self) -> Scan:
        """The mask file. Raises InputError when it cannot be read."""
        return read_scan(self.mask_path)


S = TypeVar("S", bound=Slice)


def by_patient(slices: Iterable[S]) -> dict[str, list[S]]:
    """The slices of each patient, in the order in which they come."""
    patients: dict[str, list[S]] = {}
    for record in slices:
        patients.setdefault(record.patient, []).append(record)
    return patients


def place_of(record: Slice) -> tuple[str, str, int]:
    """Patient, examination and number: slices are sorted by it."""
    return record.patient, record.volume, record.number


def neighbours(slices: Sequence[S]) -> list[list[S]]:
    """Slices, sorted by patient, examination and number, in runs of one examination's consecutive numbers."""
    runs: list[list[S]] = []
    for record in slices:
        before = runs[-1][-1] if runs else None
        if before is not None and (before.patient, before.volume, before.number + 1) == place_of(record):
            runs[-1].append(record)
        else:
            runs.append([record])
    return runs


class LoadedSlice(NamedTuple):
    """A normalised slice on the model's grid: image (S, S, C) float32, mask (S, S) bool."""

    image: FloatImage
    mask: BoolMask


class ReadSlice(NamedTuple):
    """A slice as stored: image (H, W, 3), mask (H, W), and millimetres between rows and columns where the file says so."""

    image: npt.NDArray[np.generic]
    mask: BoolMask
    spacing: tuple[float, float] | None


def read_pair(record: Slice) -> ReadSlice:
    """Image and mask of a slice.

    Raises:
        InputError: a file cannot be read, or the two differ in size or in how the patient lies.
    """
    image_scan = record.image_scan()
    mask_scan = record.mask_scan()
    image = single_slice(image_scan)
    mask = mask_of(mask_scan)
    if image.shape[:2] != mask.shape:
        raise InputError(
            f"The mask of {record.patient}, slice {record.number}, is {mask.shape[1]}x{mask.shape[0]} pixels but the image is "
            f"{image.shape[1]}x{image.shape[0]}; both must have the same size."
        )
    if _lie_differently(image_scan.placement, mask_scan.placement):
        raise InputError(
            f"Image and mask of {record.patient}, slice {record.number}, disagree on how the patient lies; save the mask with "
            "the orientation (the affine) of its image."
        )
    return ReadSlice(image, mask, image_scan.spacing)


def _lie_differently(image: Placement | None, mask: Placement | None) -> bool:
    """Whether two files of the same size state other axes, and other places for the voxels that those axes lead to."""
    if image is None or mask is None or image.axes == mask.axes:
        return False
    return not (image.axes and mask.axes) or not np.allclose(image.affine, mask.affine, atol=PLACEMENT_TOLERANCE)


def load(record: Slice, size: int) -> LoadedSlice:
    """Read one slice, normalise it and put image and mask on a (size, size) grid. Raises InputError as `read_pair`."""
    image, mask, _ = read_pair(record)
    return LoadedSlice(fit_to_grid(normalise(image), size), mask_to_grid(mask, size))


def mask_to_grid(mask: BoolMask, size: int) -> BoolMask:
    """A mask (H, W) padded to a square and resized to (size, size), as `fit_to_grid` does to its image."""
    if mask.shape == (size, size):
        return mask
    height, width = mask.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side), np.uint8)
    square[top : top + height, left : left + width] = mask
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)


class SliceCache:
    """Normalised slices held in memory (float16 images, 0.46 MB per slice of 256x256x3), read once.

    `images` is (N, S, S, C) float16 with one or three channels, `masks` (N, S, S) bool,
    `has_tumour` (N,) bool, `without_tumour` (N,) bool (slices of people who have none), `classes` (N,) int64 (the index of
    the kind of tumour in `kinds`, -1 where none is told).
    """

    def __init__(self, records: Sequence[Slice], size: int, channels: int = 3, kinds: Sequence[str] = ()) -> None:
        if not records:
            raise InputError("The data set holds no slice with a mask; see the README for the layout that is expected.")
        self.records = list(records)
        self.images = np.empty((len(records), size, size, channels), np.float16)
        self.masks: BoolMask = np.empty((len(records), size, size), bool)
        for position, record in enumerate(records):
            image, self.masks[position] = load(record, size)
            self.images[position] = image[..., :channels]
        self.has_tumour: BoolMask = np.asarray(self.masks.any(axis=(1, 2)))
        self.without_tumour: BoolMask = np.array([record.without_tumour for record in records])
        numbers = {kind: number for number, kind in enumerate(kinds)}
        self.classes = np.array([numbers.get(record.tumour, -1) for record in records], np.int64)

    def __len__(self) -> int:
        return len(self.records)


def fingerprint(records: Iterable[Slice]) -> str:
    """SHA-256 over names and decoded pixels of all slices, in order: equal data, equal text, whatever the file format."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"{record.patient}/{record.number}".encode())
        digest.update(np.ascontiguousarray(record.image()).tobytes())
        digest.update(np.packbits(record.mask()).tobytes())
    return digest.hexdigest()
