"""Grey slices stored as JPEG XL."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np

from resunet.errors import InputError
from resunet.reading.scan import Scan, checked_scan


def read_grey(path: Path) -> Scan:
    """One grey slice (H, W) from a JPEG XL file. Raises InputError when it cannot be read or has colours."""
    try:
        pixels = np.squeeze(imagecodecs.jpegxl_decode(path.read_bytes()))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as JPEG XL ({error}).") from None
    if pixels.ndim != 2:
        raise InputError(f"{path} must hold one grey slice.")
    return checked_scan(path.name, pixels[None, ..., None])
