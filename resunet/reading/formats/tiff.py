"""TIFF to checked slices."""

from __future__ import annotations

import io
import itertools
import logging
from typing import Any

import numpy as np

from resunet.errors import InputError
from resunet.reading.formats.pixels import PALETTE, blend_on_black, from_print_colours, turn_upright
from resunet.reading.scan import BYTE, WORD, Array, Scan, check_numbers, check_size, checked_scan

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF, either byte order
READABLE = "save it as greyscale or RGB with 8 or 16 bits"
OPACITY = (1, 2)  # of ExtraSamples
REDUCED = 1  # bit of NewSubfileType: a smaller version of another page


def read_tiff(content: bytes, name: str) -> Scan:
    """A TIFF of any sample type; its pages are slices. Raises InputError."""
    import tifffile  # only needed when such a file arrives

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    notes: list[str] = []
    planes: list[Array] = []
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        for number in itertools.count():  # never counted beforehand, since a file can claim millions of pages
            try:
                page: Any = file.pages[number]
            except IndexError:
                break
            if page.subfiletype & REDUCED:
                continue
            _check_page(page, len(planes) + 1, name)
            planes.append(_pixels(page, name, notes))
            if planes[-1].shape != planes[0].shape:
                raise InputError(f"{name} has pages of different sizes; all slices of a volume must have one size.")
        if not planes:
            raise InputError(f"{name} is a TIFF file without a picture; export it again.")
        pixels = _with_channels(np.stack(planes), file, notes)
    return checked_scan(name, pixels, None, notes)


def _with_channels(pixels: Array, file: Any, notes: list[str]) -> Array:
    """Pages (N, H, W, 1) with those that ImageJ or OME call channels as the last axis."""
    if not (file.is_imagej or file.is_ome) or pixels.shape[3] > 1:
        return pixels
    series = file.series[0]
    sides = {axis: side for axis, side in zip(series.axes, series.shape, strict=True) if axis not in "YX"}
    if sides.get("C", 1) == 1 or np.prod(list(sides.values())) != len(pixels):
        return pixels
    notes.append(f"The file's {sides['C']} channels were taken as such.")
    stack = pixels[..., 0].reshape(*sides.values(), *pixels.shape[1:3])
    return np.moveaxis(stack, list(sides).index("C"), -1).reshape(-1, *pixels.shape[1:3], sides["C"])


def _check_page(page: Any, pages: int, name: str) -> None:
    """Refuse what cannot be decoded, or not within bounds, from the page's tags alone."""
    check_size(name, pages, page.imagelength, page.imagewidth, page.samplesperpixel)
    if page.dtype is None:
        kind = page.sampleformat.name.lower() if hasattr(page.sampleformat, "name") else "unknown"
        raise InputError(f"{name} holds samples of {page.bitspersample} bits ({kind}), which cannot be read here; {READABLE}.")
    check_numbers(name, page.dtype)
    if page.imagedepth != 1 or len(page.shape) != 2 + (page.samplesperpixel > 1):
        raise InputError(f"{name} holds a page of shape {page.shape}; {READABLE}.")


def _pixels(page: Any, name: str, notes: list[str]) -> Array:
    """One page as (H, W, 1 or 3) in its own depth."""
    from tifffile import PHOTOMETRIC

    pixels = np.asarray(page.asarray(maxworkers=1))
    pixels = np.moveaxis(pixels, page.axes.index("S"), -1) if "S" in page.axes else pixels[..., None]
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        notes.append(PALETTE)
        colours = page.colormap.T
        if not (colours % (WORD // BYTE)).any():  # 8-bit colours, as 16 bits store them
            colours = (colours // (WORD // BYTE)).astype(np.uint8)
        pixels = colours[pixels[..., 0]]
    elif page.photometric == PHOTOMETRIC.SEPARATED and pixels.shape[-1] == 4 and pixels.dtype.kind == "u":
        pixels = from_print_colours(pixels, notes)
    elif page.photometric == PHOTOMETRIC.MINISWHITE:
        pixels = ~pixels if pixels.dtype.kind in "iub" else -pixels
    elif page.photometric not in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR):
        colours_name = getattr(page.photometric, "name", str(page.photometric))
        raise InputError(f"{name} is in {colours_name} colours, which are not read here; {READABLE}.")
    if page.photometric == PHOTOMETRIC.RGB and pixels.shape[-1] == 4 and page.extrasamples[0] not in OPACITY:
        pixels = pixels[..., :3]
        notes.append("The fourth number of each pixel, which the file does not explain, was left out.")
    if page.extrasamples and page.extrasamples[-1] in OPACITY and pixels.shape[-1] in (2, 4):
        pixels = blend_on_black(pixels, notes)
    tag = page.tags.get("Orientation")
    return turn_upright(pixels, int(tag.value) if tag is not None else 1, notes)
