"""A scan: the checked slices of one file, and the checks that make them so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from resunet.errors import InputError
from resunet.reading.sequences import SequenceName

MIN_SIDE, MAX_SIDE = 16, 2048
MAX_SLICES = 1024
MAX_VOXELS = 128 * 1024 * 1024  # over all slices and channels
MAX_BYTES = 512 * 1024 * 1024
FORMATS = "PNG, JPEG, WebP, AVIF, TIFF, NumPy (.npy), DICOM or NIfTI"
MAX_VALUE = 1e30  # larger ones overflow in what is computed from them
SPACINGS = (0.01, 100.0)  # millimetres that a pixel may measure
NO_SPACING = "The pixel spacing in the file is not plausible and is not used."
OFFSET = 1024  # subtract the minimum when the offset exceeds this multiple of the range
BYTE, WORD = 255, 65535  # white in 8 and in 16 bits
MAX_LABELS, LEVELS_SAMPLED = 16, 100_000  # of a mask, and how many of its values are looked at
STEP_TOLERANCE = 0.1  # by which labels that fill the range of a picture may differ from equal steps
ONE_CHANNEL = "One channel: it is used for all three (pre-contrast, FLAIR, post-contrast)."

Array = npt.NDArray[Any]
BoolMask = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Plane = Literal["sagittal", "coronal", "axial"]
PLANES: tuple[Plane, ...] = get_args(Plane)  # in the order of the axes that they are at right angles to


class Placement(NamedTuple):
    """How the voxels of a NIfTI file lie in space.

    Attributes:
        axes: which way the stored axes run, as "LPS"; empty where the file does not say.
        affine: sixteen numbers, row by row, from voxels turned to right, front and head to millimetres.
    """

    axes: str
    affine: tuple[float, ...]


@dataclass(frozen=True)
class Scan:
    """Checked slices of one file.

    Attributes:
        name: what to call it.
        slices: (N, H, W, 3) real and finite, in the file's own units; N is 1 for a single slice.
        spacing: millimetres between rows and between columns, where the file says so.
        notes: sentences for the user about what was done to make it fit.
        modality: as DICOM abbreviates it ("MR", "CT"), where the file says so.
        placement: of a NIfTI file.
        plane: in which the slices lie, where the file says so.
        sequence: which the file says that it is, as `resunet.reading.sequences.SequenceName`.
        sides: letters of the patient's sides at the picture's left and right edge, as "RL", where the file says so.
    """

    name: str
    slices: Array
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    modality: str | None = None
    placement: Placement | None = None
    plane: Plane | None = None
    sequence: SequenceName | None = None
    sides: str = ""


def plane_of(normal: FloatArray) -> Plane:
    """The plane whose normal (3,) points least away from the one given; both senses count alike."""
    return PLANES[int(np.argmax(np.abs(normal)))]


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


def check_finite(name: str, values: Array) -> None:
    """Refuse NaN and numbers that overflow in what is computed from them. Raises InputError."""
    if values.dtype.kind == "f" and not (np.abs(values) < MAX_VALUE).all():  # NaN fails every comparison
        raise InputError(f"{name} holds NaN or infinite values; replace them by numbers below {MAX_VALUE:g}.")


def checked_scan(
    name: str,
    slices: Array,
    spacing: tuple[float, float] | None = None,
    notes: Iterable[str] = (),
    modality: str | None = None,
    placement: Placement | None = None,
    plane: Plane | None = None,
    sequence: SequenceName | None = None,
    sides: str = "",
) -> Scan:
    """A Scan from (N, H, W, 1 or 3), its values checked and one channel repeated.

    Raises:
        InputError: wrong number of channels, not real, or not finite.
    """
    check_numbers(name, slices.dtype)
    if slices.shape[-1] not in (1, 3):
        raise InputError(
            f"{name} has {slices.shape[-1]} channels; 1 (FLAIR) or 3 (pre-contrast, FLAIR, post-contrast) are expected."
        )
    slices = _to_computable(name, slices)
    notes_made = list(dict.fromkeys(notes))
    if spacing is not None and not all(SPACINGS[0] <= side <= SPACINGS[1] for side in spacing):
        spacing = None
        notes_made.append(NO_SPACING)
    if slices.shape[-1] == 1:
        notes_made.append(ONE_CHANNEL)
    return Scan(name, spread_channel(slices), spacing, tuple(notes_made), modality, placement, plane, sequence, sides)


def _to_computable(name: str, slices: Array) -> Array:
    """The same numbers in a type that everything behind this computes with: native byte order, at most 32 bits.

    Wide numbers with little between them (a large offset) would lose their contrast in float32: those start at 0 then.
    """
    if slices.dtype.kind == "b":
        return slices.astype(np.uint8)
    native = np.dtype(np.float32) if slices.dtype.kind == "f" and slices.dtype.itemsize == 2 else slices.dtype.newbyteorder("=")
    slices = slices.astype(native, copy=False)
    check_finite(name, slices)
    if slices.dtype.itemsize < 4 or slices.dtype == np.float32:
        return slices
    lowest, highest = float(slices.min()), float(slices.max())
    if highest - lowest < max(abs(lowest), abs(highest)) / OFFSET:
        slices = slices - slices.min()
    return slices.astype(np.float32)


def spread_channel(slices: Array) -> Array:
    """(N, H, W, 3) from (N, H, W, 1 or 3); one channel is seen three times and held once, so it cannot be written to."""
    return np.broadcast_to(slices, (*slices.shape[:-1], 3))


def single_slice(scan: Scan) -> Array:
    """The one slice (H, W, 3) of a scan. Raises InputError when it holds several."""
    if len(scan.slices) != 1:
        raise InputError(f"{scan.name} holds {len(scan.slices)} slices; a file of an image or a mask must hold one.")
    return scan.slices[0]


def mask_of(scan: Scan) -> BoolMask:
    """The tumour mask (H, W) that a scan of one slice holds, as `foreground` of its brightest colour. Raises InputError."""
    return foreground(single_slice(scan).max(axis=-1), scan.name)


def foreground(values: Array, name: str) -> BoolMask:
    """Where the values of a mask say tumour, in any number of dimensions.

    Few whole numbers, or evenly spaced ones such as 85, 170, 255, are labels, of which any but 0 counts. Otherwise values are
    shares, which count from one half: of 1, of white (255, or the largest number of 16 bits), else of the largest value.

    Raises:
        InputError: there are negative numbers.
    """
    lowest, highest = float(values.min()), float(values.max())
    if lowest < 0:
        raise InputError(f"{name} holds negative numbers; a mask is 0 outside of the tumour and positive inside.")
    if highest <= 1:
        return np.asarray(values >= 0.5)
    levels = np.unique(values[values >= 0.5][:LEVELS_SAMPLED])
    if len(levels) <= MAX_LABELS and (levels == np.round(levels)).all() and _are_labels(levels):
        return np.asarray(values >= 0.5)
    white = next((white for white in (BYTE, WORD) if white / 2 < highest <= white), highest)
    return np.asarray(values > white / 2)


def _are_labels(levels: Array) -> bool:
    """Whether the numbers count up from the first, in ones or in equal steps; white alone is a picture's."""
    if levels[-1] <= BYTE / 2:
        return True
    steps = levels / levels[0]
    return len(levels) > 1 and bool(np.abs(steps - np.arange(1, len(levels) + 1)).max() < STEP_TOLERANCE)
