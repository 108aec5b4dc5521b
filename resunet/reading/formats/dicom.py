"""DICOM to checked slices."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from resunet.errors import InputError
from resunet.reading.scan import Array, BoolMask, FloatArray, Scan, check_size, checked_scan, plane_of
from resunet.reading.sequences import sequence_of_header

MAGIC, PREAMBLE = b"DICM", 128
GROUPS = (b"\x02\0", b"\x08\0", b"\0\x08")  # what a data set without preamble starts with, either byte order
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
NOT_IMAGES = {
    "SEG": "a segmentation",
    "RTSTRUCT": "a set of contours",
    "RTDOSE": "a dose distribution",
    "PR": "a presentation state",
    "SR": "a report",
    "KO": "a selection of objects",
    "REG": "a registration",
}


def has_preamble(content: bytes) -> bool:
    """Whether DICOM's mark stands behind the 128 bytes that other formats may use, TIFF for one."""
    return content[PREAMBLE : PREAMBLE + len(MAGIC)] == MAGIC


def looks_like_dicom(content: bytes) -> bool:
    """Whether the bytes start like a DICOM file, with its preamble or without."""
    return has_preamble(content) or (content[:2] in GROUPS and content[2:3] < b"\x20")


def read_dicom(content: bytes, name: str) -> Scan:
    """A DICOM image, single or multi-frame, with or without preamble. Raises InputError."""
    dataset = read_dataset(content, name)
    pixels = decode_frames(dataset, name)
    modality = str(dataset.get("Modality") or "") or None
    orientation = stated(plane_groups(dataset), "ImageOrientationPatient")  # of the first frame
    return checked_scan(
        name,
        pixels,
        pixel_spacing(dataset),
        modality=modality,
        plane=None if orientation is None else plane_of(np.cross(orientation[:3], orientation[3:])),
        sequence=sequence_of_header(dataset),
        sides="" if orientation is None else _sides_of(orientation[:3]),
    )


def _sides_of(along_rows: FloatArray) -> str:
    """Letters of where rows come from and where they run to; the direction (3,) is to the patient's left, back and head."""
    axis = int(np.argmax(np.abs(along_rows)))
    letters = ("RL", "AP", "FH")[axis]
    return letters if along_rows[axis] > 0 else letters[::-1]


def read_dataset(content: bytes, name: str) -> Any:
    """The elements of a DICOM image. Raises InputError for objects that are none."""
    import pydicom  # slow, and only needed when such a file arrives

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on values that break the standard
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        _check_kind(dataset, name)
    return dataset


def decode_frames(dataset: Any, name: str) -> Array:
    """The frames (N, H, W, C) of a DICOM image, bright where the picture is bright. Raises InputError."""
    from pydicom.pixels.utils import pixel_array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = int(dataset.get("NumberOfFrames") or 1)
        samples = int(dataset.SamplesPerPixel)
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        check_size(name, frames, rows, columns, samples)
        _state_encoding(dataset)
        try:
            stored = np.asarray(pixel_array(dataset))
        except RuntimeError:
            syntax = dataset.file_meta.TransferSyntaxUID.name
            raise InputError(
                f"{name} is compressed as {syntax}, which cannot be decoded here; export it uncompressed."
            ) from None
        pixels = _to_values(_without_overlays(stored, dataset), dataset)
        padding = _padding(stored, dataset)
    pixels = pixels.reshape(frames, rows, columns, -1)
    if padding is not None and not padding.all():
        padding = padding.reshape(pixels.shape)
        pixels = np.where(padding, pixels[~padding].min(), pixels)
    return pixels


def plane_groups(dataset: Any, frame: int = 0) -> list[Any]:
    """Where a data set may state how a frame lies, the most particular last."""
    shared = dataset.get("SharedFunctionalGroupsSequence")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    return [dataset, *(shared or ()), *([per_frame[frame]] if per_frame and frame < len(per_frame) else [])]


def stated(groups: list[Any], element: str) -> FloatArray | None:
    """The element in the last of the groups that state it, by themselves or in their plane's sequence."""
    for group in reversed(groups):
        for place in (group, *(group.get("PlanePositionSequence") or ()), *(group.get("PlaneOrientationSequence") or ())):
            if place.get(element) is not None:
                return np.array([float(value) for value in place.get(element)])
    return None


def _check_kind(dataset: Any, name: str) -> None:
    """Refuse DICOM objects that are no images. Raises InputError."""
    kind = NOT_IMAGES.get(str(dataset.get("Modality")))
    if kind is not None:
        raise InputError(f"{name} is {kind} in DICOM, not an image; export the image series that it belongs to.")
    if not any(element in dataset for element in PIXELS):
        raise InputError(f"{name} is a DICOM file without pixels; export the image series, not a report or a plan.")
    if "MOSAIC" in (dataset.get("ImageType") or ()) and int(dataset.get("NumberOfFrames") or 1) == 1:
        raise InputError(f"{name} is a mosaic: many slices tiled in one picture; export the series with one slice per image.")


def _state_encoding(dataset: Any) -> None:
    """Say how the pixels are stored where the file meta information that should say so is missing."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit, is_little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


def _without_overlays(stored: Array, dataset: Any) -> Array:
    """The pixels without what older files keep in the bits above those that are stored, overlays mostly."""
    bits = int(dataset.get("BitsStored") or 0)
    unused = stored.dtype.itemsize * 8 - int(dataset.get("BitsStored") or 0)
    if stored.dtype.kind not in "iu" or bits < 2 or unused <= 0:
        return stored
    return np.asarray((stored << unused) >> unused, stored.dtype)


def _to_values(stored: Array, dataset: Any) -> Array:
    """Grey values or RGB, bright where the picture is bright."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return np.asarray(apply_color_lut(stored, dataset))
    values = np.asarray(apply_modality_lut(stored, dataset))
    return np.asarray(values.max() - values) if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else values


def _padding(stored: Array, dataset: Any) -> BoolMask | None:
    """Pixels that hold no measurement by the file's own account."""
    first = dataset.get("PixelPaddingValue")
    last = dataset.get("PixelPaddingRangeLimit")
    if not isinstance(first, int) or stored.dtype.kind not in "iu" or stored.ndim > 3:
        return None
    last = last if isinstance(last, int) else first
    low, high = (int(np.array(value).astype(stored.dtype)) for value in sorted((first, last)))  # signed or not as the pixels
    return np.asarray((stored >= low) & (stored <= high))


def pixel_spacing(dataset: Any) -> tuple[float, float] | None:
    """Millimetres between rows and columns; enhanced objects say so for all frames together, or for each."""
    spacing = dataset.get("PixelSpacing")
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in dataset.get(sequence) or ():
            for measures in group.get("PixelMeasuresSequence") or ():
                spacing = spacing or measures.get("PixelSpacing")
    known = isinstance(spacing, Sequence) and len(spacing) == 2
    return (float(spacing[0]), float(spacing[1])) if known else None
