"""NIfTI to checked slices."""

from __future__ import annotations

import gzip
import io
import logging
import warnings
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from resunet.errors import InputError
from resunet.reading.scan import MAX_BYTES, NO_SPACING, Placement, Scan, check_finite, check_numbers, check_size, checked_scan
from resunet.reading.volume_scan import Volume

UNORIENTED = "The file does not say how the patient lies: left and right, front and back are as stored."
AXIAL = "Slices are axial, front up, the patient's right on the left."
THREE_VOLUMES = "The fourth axis, of length 3, was taken as the channels: pre-contrast, FLAIR, post-contrast."
SHEARED = "The axes are not at right angles (a tilted gantry); slices are shown as they are stored."
NO_UNIT = "The file states no unit of length; millimetres are assumed."
UPRIGHT = 0.99  # share of a box that a voxel's sides must enclose to be called upright
SMALLEST_VOXEL = 1e-9  # cubic millimetres, under which an affine has lost an axis
UNIT_OF_LENGTH = 7  # bits of xyzt_units
UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metre, millimetre, micrometre; in millimetres
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
    volume = read_volume(content, name)
    slices = volume.axial()
    notes = list(volume.notes)
    if volume.is_oriented and len(slices) > 1:
        notes.append(AXIAL)
    placement = Placement(volume.axes, tuple(_canonical_affine(volume).ravel().tolist()) if volume.is_oriented else ())
    spacing = volume.axial_sides[1:] if volume.axial_sides else None
    sides = "RL" if volume.is_oriented else ""
    return checked_scan(name, np.ascontiguousarray(slices), spacing, notes, placement=placement, sides=sides)


def read_volume(content: bytes, name: str) -> Volume:
    """The voxels of a NIfTI file and where they lie; shapes as `read_nifti`. Raises InputError."""
    import nibabel  # only needed when such a file arrives, as pydicom

    nibabel.imageglobals.logger.setLevel(logging.CRITICAL + 1)  # what nibabel mends or cannot, notes and sentences say
    content = _inflate(content, name)
    is_second = 540 in (int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big"))
    content, notes = _one_file(content, is_second, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = (nibabel.Nifti2Image if is_second else nibabel.Nifti1Image).from_bytes(content)
        if image.get_data_dtype().names:
            raise InputError(f"{name} holds colours; give the grey volume that they were made from.")
        check_numbers(name, image.get_data_dtype())
        shape = _checked_shape(image, name, notes)
        affine, is_sform = _orientation(image)
        axes = nibabel.io_orientation(affine)[:, 0].astype(int).tolist()  # which of right, front and head each axis is
        width, height, depth = (size for _, size in sorted(zip(axes, shape[:3], strict=True)))
        check_size(name, depth, height, width, shape[3])
        voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
        check_finite(name, voxels)
        sides = _sides(image, content, is_sform, notes)
    if is_sform is None:
        notes.append(UNORIENTED)
    volume = Volume(name, voxels, affine, sides, is_sform is not None, tuple(notes), image.header)
    return replace(volume, notes=(*notes, SHEARED)) if volume.skew < UPRIGHT else volume


def nifti_header(block: bytes) -> Any:
    """The header that these bytes are."""
    import nibabel

    return (nibabel.Nifti2Header if len(block) == HEADER_SIZES[1] else nibabel.Nifti1Header)(block, check=False)


def nifti_on_grid(volume: Volume, voxels: npt.NDArray[Any], brightest: float = 0) -> bytes:
    """A gzipped NIfTI file of voxels (I, J, K) with the volume's shape, affine, orientation codes and units.

    `brightest` is the value that viewers show at the top of their colour map; 0 leaves it to them.
    """
    import nibabel

    header = nibabel.Nifti1Header() if volume.header is None else volume.header.copy()
    if volume.header is not None:
        voxels = voxels.reshape(header.get_data_shape()[:3])  # a single slice may have two axes only
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_slope_inter(1, 0)
    header["cal_min"], header["cal_max"] = 0, brightest
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    # A NIfTI file's header keeps both of its affines with their codes.
    image = kind(voxels, volume.affine if volume.header is None else None, header)
    if volume.header is None:
        image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), mtime=0)


def _canonical_affine(volume: Volume) -> npt.NDArray[np.float64]:
    """From voxels turned to right, front and head to millimetres."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    return np.asarray(volume.affine @ inv_ornt_aff(io_orientation(volume.affine), volume.shape))


def _one_file(content: bytes, is_second: bool, name: str) -> tuple[bytes, list[str]]:
    """The file with the place of its voxels mended where the header puts them into itself, and a note if so.

    Raises:
        InputError: it is the header of a pair of files.
    """
    magic, offset, start, kind = (4, 168, 544, "i8") if is_second else (344, 108, 352, "f4")
    if content[magic : magic + 2] != b"n+":
        raise InputError(f"{name} is a header whose voxels are in a second file (.img); save both as one .nii file.")
    order = "<" if content[0] else ">"
    if np.frombuffer(content, order + kind, 1, offset)[0] >= start:
        return content, []
    mended = bytearray(content)
    mended[offset : offset + int(kind[1])] = np.array(start, order + kind).tobytes()
    return bytes(mended), [f"The header puts the voxels into itself; they were read from byte {start}, where they start."]


def _checked_shape(image: Any, name: str, notes: list[str]) -> tuple[int, int, int, int]:
    """Three sides and the number of channels; `notes` say so where these are three. Raises InputError."""
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 4 and image.header.get_xyzt_units()[1] in ("sec", "msec", "usec"):
        raise InputError(f"{name} holds {shape[3]} points in time; give one of them as a 3-D volume.")
    if len(shape) not in (2, 3) and not (len(shape) == 4 and shape[3] == 3):
        raise InputError(
            f"{name} is {len(shape)}-dimensional with shape {'x'.join(map(str, shape))}; give one 3-D volume, or a "
            "fourth axis of 3 (pre-contrast, FLAIR, post-contrast)."
        )
    if len(shape) == 4:
        notes.append(THREE_VOLUMES)
    return shape[0], shape[1], shape[2] if len(shape) > 2 else 1, shape[3] if len(shape) == 4 else 1


def _orientation(image: Any) -> tuple[npt.NDArray[np.float64], bool | None]:
    """Voxels to millimetres by the first of the file's two affines that is stated and can be, and whether that is the sform.

    A file that states neither gets an affine without meaning, and None.
    """
    for (affine, code), is_sform in ((image.get_sform(coded=True), True), (image.get_qform(coded=True), False)):
        if code > 0 and np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > SMALLEST_VOXEL:
            return affine, is_sform
    return np.asarray(image.header.get_base_affine()), None


def _sides(image: Any, content: bytes, is_sform: bool | None, notes: list[str]) -> tuple[float, float, float] | None:
    """Millimetres of a voxel along the stored axes, where the file says so in a unit of length; `notes` where it does not."""
    stated = type(image.header)(content[: image.header.sizeof_hdr], check=False)  # nibabel replaces sides of 0 by 1
    sides = np.linalg.norm(image.get_sform()[:3, :3], axis=0) if is_sform else np.abs(stated["pixdim"][1:4])
    unit = UNITS.get(int(stated["xyzt_units"]) & UNIT_OF_LENGTH)
    if unit is None:
        notes.append(NO_SPACING)
        return None
    first, second, third = (float(side) * unit for side in sides)
    if int(stated["xyzt_units"]) & UNIT_OF_LENGTH == 0 and min(first, second) > 0:
        notes.append(NO_UNIT)
    return first, second, third


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
