"""NumPy files to checked slices."""

from __future__ import annotations

import io

import numpy as np

from resunet.errors import InputError
from resunet.reading.scan import Scan, check_numbers, check_size, checked_scan

MAGIC = b"\x93NUMPY"
MAX_CHANNELS = 4  # a last axis this short holds channels, not columns


def read_numpy(content: bytes, name: str) -> Scan:
    """A .npy array: (H, W), (H, W, 1 or 3), (3, H, W), (N, H, W), (H, W, N) or (N, H, W, 1 or 3). Raises InputError.

    Of three axes that are neither channels, the two of equal length are the slice's; where that does not tell, the first counts
    slices.
    """
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
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] > MAX_CHANNELS:
        pixels = np.moveaxis(pixels, 0, -1)
        notes.append("The first axis, of length 3, was taken as the channels.")
    elif pixels.ndim == 3 and pixels.shape[2] > MAX_CHANNELS and pixels.shape[0] == pixels.shape[1] != pixels.shape[2]:
        pixels = np.moveaxis(pixels, -1, 0)
        notes.append(f"The last axis, of length {len(pixels)}, was taken as the slices.")
    elif pixels.ndim == 4 and pixels.shape[1] == 3 and pixels.shape[3] > MAX_CHANNELS:
        pixels = np.moveaxis(pixels, 1, -1)
        notes.append("The second axis, of length 3, was taken as the channels.")
    if pixels.ndim == 2:
        pixels = pixels[None, ..., None]
    elif pixels.ndim == 3:
        pixels = pixels[None] if pixels.shape[2] <= MAX_CHANNELS else pixels[..., None]
    count, height, width, channels = pixels.shape
    check_size(name, count, height, width, channels)
    return checked_scan(name, pixels, None, notes)
