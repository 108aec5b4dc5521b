"""NIfTI to checked slices."""

from __future__ import annotations

import gzip
import io
import zlib

import numpy as np

from resunet.data.scan import MAX_BYTES, Scan, check_numbers, check_size, checked_scan
from resunet.errors import InputError

HEADER_SIZES = (348, 540)  # NIfTI-1 and NIfTI-2, first four bytes of the file


def looks_like_nifti(content: bytes) -> bool:
    """Whether the bytes start like a NIfTI file, plain or gzipped."""
    if content[:2] == b"\x1f\x8b":
        return True
    return any(content[:4] == size.to_bytes(4, order) for size in HEADER_SIZES for order in ("little", "big"))


def read_nifti(content: bytes, name: str) -> Scan:
    """A NIfTI volume, cut into axial slices as a radiologist sees them (front up, patient's right on the left).

    Accepts 2-D and 3-D images, and 4-D ones whose fourth axis is one volume or the three channels. Raises InputError.
    """
    import nibabel  # only needed when such a file arrives, as pydicom

    content = _inflate(content, name)
    kind = (
        nibabel.Nifti2Image
        if 540 in (int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big"))
        else nibabel.Nifti1Image
    )
    image = kind.from_bytes(content)
    check_numbers(name, image.get_data_dtype())
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3) and not (len(shape) == 4 and shape[3] == 3):
        raise InputError(
            f"{name} is {len(shape)}-dimensional with shape {'x'.join(map(str, shape))}; give one 3-D volume, or a "
            "fourth axis of 3 (pre-contrast, FLAIR, post-contrast)."
        )
    channels = shape[3] if len(shape) == 4 else 1
    planes = shape[2] if len(shape) > 2 else 1
    axes = nibabel.io_orientation(image.affine)[:, 0].astype(int).tolist()  # which of right, front and head each axis is
    width, height, depth = (size for _, size in sorted(zip(axes, (shape[0], shape[1], planes), strict=True)))
    check_size(name, depth, height, width, channels)
    volume = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[0], shape[1], planes, channels)
    upright = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume, image.affine))
    across, along = (float(size) for size in upright.header.get_zooms()[:2])
    # Canonical axes run to the patient's right-to-left, front and head; on screen the front is up and the left is right.
    slices = np.asarray(upright.dataobj)[::-1, ::-1].transpose(2, 1, 0, 3)
    notes = ["Slices are axial, front up, the patient's right on the left."] if slices.shape[0] > 1 else []
    return checked_scan(name, np.ascontiguousarray(slices), (along, across), notes)


def _inflate(content: bytes, name: str) -> bytes:
    """The bytes of a NIfTI file, unzipped where need be but never beyond MAX_BYTES."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            plain = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{name} is a damaged gzip file; compress or download it again.") from None
    if len(plain) > MAX_BYTES:
        raise InputError(f"{name} unpacks to more than {MAX_BYTES // 2**20} MB; give a smaller volume.")
    if not looks_like_nifti(plain[:4]) or plain[:2] == b"\x1f\x8b":
        raise InputError(f"{name} is a gzip file but not a NIfTI volume; give PNG, JPEG, TIFF, .npy, DICOM or NIfTI.")
    return plain
