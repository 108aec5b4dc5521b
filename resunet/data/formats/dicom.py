"""DICOM to checked slices."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from resunet.data.scan import Scan, check_size, checked_scan
from resunet.errors import InputError


def read_dicom(content: bytes, name: str) -> Scan:
    """A DICOM image, single or multi-frame. Raises InputError."""
    import pydicom  # slow, and only needed when such a file arrives
    from pydicom.pixels.processing import apply_rescale
    from pydicom.pixels.utils import pixel_array

    dataset = pydicom.dcmread(io.BytesIO(content))
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        raise InputError(f"{name} is a DICOM file without pixels; export the image series, not a report or a plan.")
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise InputError(f"{name} holds numbers of palette colours, not grey values; export it as greyscale.")
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.SamplesPerPixel)
    check_size(name, frames, int(dataset.Rows), int(dataset.Columns), samples)
    try:
        pixels = pixel_array(dataset)
    except RuntimeError:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise InputError(f"{name} is compressed as {syntax}, which cannot be decoded here; export it uncompressed.") from None
    pixels = np.asarray(apply_rescale(pixels, dataset))
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        pixels = pixels.max() - pixels
    pixels = pixels.reshape(frames, int(dataset.Rows), int(dataset.Columns), samples)
    spacing = dataset.get("PixelSpacing")
    known = isinstance(spacing, Sequence) and len(spacing) == 2
    return checked_scan(name, pixels, (float(spacing[0]), float(spacing[1])) if known else None)
