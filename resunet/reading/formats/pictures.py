"""PNG, JPEG, WebP and AVIF to checked slices."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from resunet.errors import InputError
from resunet.reading.formats.pixels import PALETTE, PRINT_COLOURS, blend_on_black, turn_upright
from resunet.reading.scan import FORMATS, MAX_SIDE, Array, Scan, check_size, checked_scan

PNG = b"\x89PNG\r\n\x1a\n"
BOX, HEIC_BRANDS = b"ftyp", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
DEPTH, COLOUR_TYPE = 24, 25  # where a PNG file states them
GREY, WITH_PALETTE = 0, 3  # colour types


def read_picture(content: bytes, name: str) -> Scan:
    """PNG, JPEG, WebP or AVIF; the pages of an animated PNG are slices. Raises InputError."""
    if content[4:8] == BOX and content[8:12] in HEIC_BRANDS:
        raise InputError(
            f"{name} is HEIC, as iPhones store photographs; save it as JPEG (in Photos: File, Export) and give that."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "AVIF"))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise InputError(f"{name} has more pixels than {MAX_SIDE}x{MAX_SIDE}; give a slice of at most that size.") from None
        except UnidentifiedImageError:
            raise InputError(f"{name} is not an image that can be read here; give {FORMATS}.") from None
        with picture:
            check_size(name, 1, picture.height, picture.width, len(picture.getbands()))
            notes: list[str] = []
            orientation = int(picture.getexif().get(ExifTags.Base.Orientation, 1))
            if content.startswith(PNG) and content[DEPTH] == 16 and content[COLOUR_TYPE] not in (GREY, WITH_PALETTE):
                planes = [_deep_colours(content, notes)]
            else:
                planes = [_pixels(page, notes) for page in _pages(picture, name)]
    return checked_scan(name, np.stack([turn_upright(plane, orientation, notes) for plane in planes]), None, notes)


def _pages(picture: Image.Image, name: str) -> Iterator[Image.Image]:
    """The picture at each of its pages; never counted beforehand, since a file can claim millions of them.

    What follows the main picture of a JPEG file is a preview that a camera put there.
    """
    if picture.format != "PNG":
        yield picture
        return
    for page in itertools.count():
        try:
            picture.seek(page)
        except EOFError:
            return
        check_size(name, page + 1, picture.height, picture.width, len(picture.getbands()))
        yield picture


def _pixels(picture: Image.Image, notes: list[str]) -> Array:
    """One page as (H, W, 1 or 3) in its own depth."""
    if picture.mode == "CMYK":
        notes.append(PRINT_COLOURS)
    elif picture.mode in ("P", "PA"):
        notes.append(PALETTE)
    if "transparency" in picture.info or picture.mode in ("PA", "RGBa", "La"):
        picture = picture.convert("RGBA")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGB")
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        return pixels[..., None]
    return blend_on_black(pixels, notes) if picture.mode in ("RGBA", "LA") else pixels


def _deep_colours(content: bytes, notes: list[str]) -> Array:
    """A PNG of 16 bits a channel, which Pillow would cut down to 8, as (H, W, 1 or 3)."""
    import imagecodecs  # slow, and only needed when such a file arrives

    pixels = np.asarray(imagecodecs.png_decode(content))
    return blend_on_black(pixels, notes) if pixels.shape[-1] in (2, 4) else pixels
