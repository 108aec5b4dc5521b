"""PNG, JPEG and TIFF to checked slices."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from resunet.data.scan import FORMATS, MAX_SIDE, Array, Scan, check_size, checked_scan
from resunet.errors import InputError


def read_picture(content: bytes, name: str) -> Scan:
    """PNG, JPEG or TIFF; the pages of a TIFF are slices. Raises InputError."""
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
    return checked_scan(name, np.stack(planes), None, notes)


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
