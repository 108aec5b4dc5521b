"""Files and bytes from outside to checked slices. The content decides the format; the name is only used in messages.

Decoding is bounded: sizes are read from headers and checked before any pixel is decoded, and nothing is unpickled.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

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


def read_scan(source: str | Path | bytes, name: str | None = None) -> Scan:
    """Read one image file, or its bytes.

    Args:
        source: a path, or the bytes of a file.
        name: the file name for messages; by default the path's.

    Raises:
        InputError: anything that keeps it from being a slice or a volume, in one sentence.
    """
    name = name or (Path(source).name if isinstance(source, str | Path) else "The file")
    content = _read_bytes(source, name)
    try:
        return _decode(content, name)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{name} needs more memory than there is; give a smaller image.") from None
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        raise InputError(f"{name} is damaged or incomplete and cannot be decoded; export it again.") from error


def _read_bytes(source: str | Path | bytes, name: str) -> bytes:
    if not isinstance(source, bytes):
        path = Path(source)
        if path.is_dir():
            raise InputError(f"{path} is a folder, not an image file.")
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"{name} is larger than {MAX_BYTES // 2**20} MB; give a smaller file.")
            source = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"{path} does not exist.") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    if not source:
        raise InputError(f"{name} is empty (0 bytes); give a file in one of the formats {FORMATS}.")
    return source


def _decode(content: bytes, name: str) -> Scan:
    from resunet.data import medical  # pydicom and nibabel load only when such a file comes

    if content.startswith(b"\x93NUMPY"):
        return _numpy(content, name)
    if content[128:132] == b"DICM":
        return medical.read_dicom(content, name)
    if medical.looks_like_nifti(content):
        return medical.read_nifti(content, name)
    return _picture(content, name)


def _picture(content: bytes, name: str) -> Scan:
    """PNG, JPEG or TIFF; the pages of a TIFF are slices."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "TIFF"))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise InputError(f"{name} has more pixels than {MAX_SIDE}x{MAX_SIDE}; give a slice of at most that size.") from None
        except UnidentifiedImageError:
            raise InputError(f"{name} is not an image that can be read here; give {FORMATS}.") from None
        with picture:
            notes: list[str] = []
            planes = [_pixels(page, name, notes) for page in _pages(picture, name)]
    return checked(name, np.stack(planes), None, notes)


def _pages(picture: Image.Image, name: str) -> Iterator[Image.Image]:
    """The picture at each of its pages; never counted beforehand, since a file can claim millions of them."""
    first_size = picture.size
    for page in itertools.count():
        try:
            picture.seek(page)
        except EOFError:
            return
        check_size(name, page + 1, picture.height, picture.width, len(picture.getbands()))
        if picture.size != first_size:
            raise InputError(f"{name} has pages of different sizes; all slices of a volume must have one size.")
        yield picture


def _pixels(picture: Image.Image, name: str, notes: list[str]) -> Array:
    """One page as (H, W, C) in its own depth."""
    mode = picture.mode
    if mode == "CMYK":
        raise InputError(f"{name} is in CMYK print colours, not an MRI slice; save it as greyscale or RGB.")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        notes.append("The transparency channel was left out.")
        picture = picture.convert("L" if mode.startswith("L") else "RGB")
    elif mode == "P":
        notes.append("The colour palette was turned into RGB.")
        picture = picture.convert("RGB")
    elif mode in ("1", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("L" if mode == "1" else "RGB")
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _numpy(content: bytes, name: str) -> Scan:
    """A .npy array: (H, W), (H, W, 1 or 3), (3, H, W), (N, H, W) or (N, H, W, 1 or 3)."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise InputError(f"{name} holds Python objects, which are never unpickled here; save a plain number array.")
    check_numbers(name, dtype)
    if len(content) - stream.tell() < int(np.prod(shape, dtype=np.float64)) * dtype.itemsize:
        raise InputError(f"{name} is cut short: its header promises more numbers than it holds; save it again.")
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise InputError(f"{name} has shape {shape}; a slice (H, W) or (H, W, 3), or a volume (N, H, W[, 3]), is expected.")
    notes: list[str] = []
    pixels = np.load(io.BytesIO(content), allow_pickle=False)
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] not in (1, 3):
        pixels = np.moveaxis(pixels, 0, -1)
        notes.append("The first axis, of length 3, was taken as the channels.")
    if pixels.ndim == 2:
        pixels = pixels[None, ..., None]
    elif pixels.ndim == 3:
        pixels = pixels[None] if pixels.shape[2] in (1, 3) else pixels[..., None]
    count, height, width, channels = pixels.shape
    check_size(name, count, height, width, channels)
    return checked(name, pixels, None, notes)


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


def checked(name: str, slices: Array, spacing: tuple[float, float] | None = None, notes: list[str] | None = None) -> Scan:
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
    said = list(dict.fromkeys(notes or []))
    if spacing is not None and not all(SPACINGS[0] <= side <= SPACINGS[1] for side in spacing):
        spacing = None
        said.append(NO_SPACING)
    if slices.shape[-1] == 1:
        said.append(ONE_CHANNEL)
    return Scan(name, spread_channel(slices), spacing, tuple(said))


def spread_channel(slices: Array) -> Array:
    """(N, H, W, 3) from (N, H, W, 1 or 3); one channel is seen three times and held once, so it cannot be written to."""
    return np.broadcast_to(slices, (*slices.shape[:-1], 3))


def read_mask(source: str | Path | bytes, name: str | None = None) -> npt.NDArray[np.bool_]:
    """A tumour mask, (H, W) bool: 8-bit pictures above half of white, label maps where not 0.

    Raises:
        InputError: the file cannot be read or holds several slices.
    """
    return mask_of(read_scan(source, name))


def mask_of(scan: Scan) -> npt.NDArray[np.bool_]:
    """The mask that a scan of one slice holds, as `read_mask`. Raises InputError."""
    if len(scan.slices) != 1:
        raise InputError(f"{scan.name} holds {len(scan.slices)} slices; a mask file must hold one.")
    plane = scan.slices[0, ..., 0]
    return np.asarray(plane > 127 if plane.dtype == np.uint8 and int(plane.max()) > 127 else plane != 0)
