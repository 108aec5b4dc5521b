"""What picture formats have in common: orientation tags, transparency and print colours."""

from __future__ import annotations

import numpy as np

from resunet.reading.scan import Array

TURNED = "Shown upright, as the orientation tag in the file asks."
TRANSPARENT = "Transparent parts count as black."
DRAWN_IN_OPACITY = "All of the picture is black; what its transparency shows was taken."
PALETTE = "The colour palette was turned into RGB."
PRINT_COLOURS = "The CMYK print colours were turned into RGB."


def turn_upright(pixels: Array, orientation: int, notes: list[str]) -> Array:
    """Pixels (H, W, C) as viewers show them.

    Args:
        orientation: where row and column 0 are, 1 to 8 as in TIFF 6.0 (section 8); anything else counts as upright.
    """
    if orientation not in range(2, 9):
        return pixels
    notes.append(TURNED)
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    rows_end_first = orientation in (3, 4, 7, 8)
    columns_end_first = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if rows_end_first else 1, :: -1 if columns_end_first else 1]


def blend_on_black(pixels: Array, notes: list[str]) -> Array:
    """Colours (H, W, 1 or 3) in front of black, from (H, W, 2 or 4) with opacity as the last channel.

    An opacity of 0 everywhere was never meant: the picture is then as opaque as one of full opacity. Where all colours are
    black, what was drawn is the opacity, and that is taken.
    """
    colours, opacity = pixels[..., :-1], pixels[..., -1:]
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else max(1.0, float(opacity.max()))
    if not opacity.any() or (opacity == full).all():
        return colours
    if not colours.any():
        notes.append(DRAWN_IN_OPACITY)
        return np.broadcast_to(opacity, colours.shape).copy()
    notes.append(TRANSPARENT)
    shown = colours.astype(np.float64) * (opacity / full)
    return np.asarray(np.rint(shown) if pixels.dtype.kind in "iu" else shown).astype(pixels.dtype)


def from_print_colours(pixels: Array, notes: list[str]) -> Array:
    """RGB (H, W, 3) from cyan, magenta, yellow and black (H, W, 4), unsigned."""
    notes.append(PRINT_COLOURS)
    full = np.iinfo(pixels.dtype).max
    light = (full - pixels.astype(np.float64)) / full
    return np.asarray(np.rint(light[..., :3] * light[..., 3:] * full)).astype(pixels.dtype)
