"""A scan: the checked slices of one file, and the checks that make them so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resunet.errors import InputError

MIN_SIDE, MAX_SIDE = 16, 2048
MAX_SLICES = 1024
MAX_VOXELS = 128 * 1024 * 1024  # over all slices and channels
MAX_BYTES = 512 * 1024 * 1024
FORMATS = "PNG, JPEG, TIFF, NumPy (.npy), DICOM or NIfTI"
MAX_VALUE = 1e30  # larger ones overflow in what is computed from them
SPACINGS = (0.01, 100.0)  # millimetres that a pixel may measure
NO_SPACING = "The pixel spacing in the file is not plausible and is not used."
ONE_CHANNEL = "One channel: it is used for all three (pre-contrast, FLAIR, post-contrast)."

Array = npt.NDArray[Any]
BoolMask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scan:
    """Checked slices of one file.

    Attributes:
        name: what to call it.
        slices: (N, H, W, 3) real and finite, in the file's own units; N is 1 for a single slice.
        spacing: millimetres between rows and between columns, where the file says so.
        notes: sentences for the user about what was done to make it fit.
    """

    name: str
    slices: Array
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def check_size(name: str, slices: int, height: int, width: int, channels: int) -> None:
    """Refuse sizes that are no slice or would exhaust memory. Raises InputError."""
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{name} is {width}x{height} pixels; a slice needs at least {MIN_SIDE}x{MIN_SIDE}.")
    if max(height, width) > MAX_SIDE:
        raise InputError(f"{name} is {width}x{height} pixels; a slice may have at most {MAX_SIDE}x{MAX_SIDE}.")
    if slices > MAX_SLICES or slices * height * width * channels > MAX_VOXELS:
        raise InputError(f"{name} holds {slices} slices of {width}x{height}; that is more than fits, give part of it.")


def check_numbers(name: str, dtype: np.dtype[np.generic]) -> None:
    """Refuse anything but real numbers. Raises InputError."""
    if dtype.kind == "c":
        raise InputError(f"{name} holds complex numbers; give the magnitude image.")
    if dtype.kind not in "biuf":
        raise InputError(f"{name} holds {dtype} values; a slice must hold real numbers.")


def checked_scan(name: str, slices: Array, spacing: tuple[float, float] | None = None, notes: list[str] | None = None) -> Scan:
    """A Scan from (N, H, W, 1 or 3), its values checked and one channel repeated.

    Raises:
        InputError: wrong number of channels, not real, or not finite.
    """
    check_numbers(name, slices.dtype)
    if slices.shape[-1] not in (1, 3):
        raise InputError(
            f"{name} has {slices.shape[-1]} channels; 1 (FLAIR) or 3 (pre-contrast, FLAIR, post-contrast) are expected."
        )
    if slices.dtype.kind == "b":
        slices = slices.astype(np.uint8)
    if slices.dtype.kind == "f" and slices.dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            slices = slices.astype(np.float32)  # what the models see; values beyond its range become infinite
    if slices.dtype.kind == "f" and not (np.abs(slices) < MAX_VALUE).all():  # NaN fails every comparison
        raise InputError(f"{name} holds NaN or infinite values; replace them by numbers below {MAX_VALUE:g}.")
    notes_made = list(dict.fromkeys(notes or []))
    if spacing is not None and not all(SPACINGS[0] <= side <= SPACINGS[1] for side in spacing):
        spacing = None
        notes_made.append(NO_SPACING)
    if slices.shape[-1] == 1:
        notes_made.append(ONE_CHANNEL)
    return Scan(name, spread_channel(slices), spacing, tuple(notes_made))


def spread_channel(slices: Array) -> Array:
    """(N, H, W, 3) from (N, H, W, 1 or 3); one channel is seen three times and held once, so it cannot be written to."""
    return np.broadcast_to(slices, (*slices.shape[:-1], 3))


def mask_of(scan: Scan) -> BoolMask:
    """The tumour mask (H, W) that a scan of one slice holds: 8-bit pictures above half of white, label maps where not 0.

    Raises:
        InputError: the scan holds several slices.
    """
    if len(scan.slices) != 1:
        raise InputError(f"{scan.name} holds {len(scan.slices)} slices; a mask file must hold one.")
    plane = scan.slices[0, ..., 0]
    return np.asarray(plane > 127 if plane.dtype == np.uint8 and int(plane.max()) > 127 else plane != 0)
