"""Files and bytes from outside to checked slices. The content decides the format; the name is only used in messages.

Decoding is bounded: sizes are read from headers and checked before any pixel is decoded, and nothing is unpickled.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from resunet.errors import InputError
from resunet.reading.formats import arrays, dicom, nifti, pictures, series, tiff
from resunet.reading.scan import FORMATS, MAX_BYTES, BoolMask, Scan, mask_of
from resunet.reading.volume_scan import Volume

T = TypeVar("T")


def read_scan(source: str | Path | bytes, name: str | None = None) -> Scan:
    """Read one image file, or its bytes.

    Args:
        source: a path, or the bytes of a file.
        name: the file name for messages; by default the path's.

    Raises:
        InputError: anything that keeps it from being a slice or a volume, in one sentence.
    """
    name = name or (Path(source).name if isinstance(source, str | Path) else "The file")
    content = _read_bytes(source, name)
    return _in_one_sentence(lambda: _decode(content, name), name)


def read_volume(source: str | Path | bytes, name: str | None = None) -> Volume:
    """Read a NIfTI file, or its bytes, as voxels on their grid. Raises InputError as `read_scan`."""
    name = name or (Path(source).name if isinstance(source, str | Path) else "The file")
    content = _read_bytes(source, name)
    if not nifti.looks_like_nifti(content):
        raise InputError(f"{name} is not a NIfTI file, of which a case consists.")
    return _in_one_sentence(lambda: nifti.read_volume(content, name), name)


def read_dicom_series(files: Mapping[str, str | Path | bytes], name: str) -> Volume:
    """Read the files of one DICOM series, by name, as voxels on their grid. Raises InputError as `read_scan`."""
    contents = {file: _read_bytes(source, file) for file, source in files.items()}
    return _in_one_sentence(lambda: series.read_series(contents, name), name)


def find_dicom_series(files: Mapping[str, bytes]) -> list[series.Series]:
    """The DICOM series among files by name. Raises InputError where one cannot be read."""
    return _in_one_sentence(lambda: series.find_series(files), "One of the DICOM files")


def _in_one_sentence(decode: Callable[[], T], name: str) -> T:
    """What `decode` gives; whatever it raises becomes an InputError."""
    try:
        with warnings.catch_warnings():  # of libraries, on what their files should not contain
            warnings.simplefilter("ignore")
            return decode()
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{name} needs more memory than there is; give a smaller image.") from None
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        raise InputError(f"{name} is damaged or incomplete and cannot be decoded; export it again.") from error


def _read_bytes(source: str | Path | bytes, name: str) -> bytes:
    if not isinstance(source, bytes):
        path = Path(source)
        if path.is_dir():
            raise InputError(f"{path} is a folder, not an image file.")
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"{name} is larger than {MAX_BYTES // 2**20} MB; give a smaller file.")
            source = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"{path} does not exist.") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    if not source:
        raise InputError(f"{name} is empty (0 bytes); give a file in one of the formats {FORMATS}.")
    return source


def _decode(content: bytes, name: str) -> Scan:
    if content.startswith(arrays.MAGIC):
        return arrays.read_numpy(content, name)
    if content.startswith(tiff.MAGICS) and not dicom.has_preamble(content):
        return tiff.read_tiff(content, name)
    if nifti.looks_like_nifti(content):
        return nifti.read_nifti(content, name)
    if dicom.looks_like_dicom(content):
        return dicom.read_dicom(content, name)
    return pictures.read_picture(content, name)


def read_mask(source: str | Path | bytes, name: str | None = None) -> BoolMask:
    """The tumour mask (H, W) in a file, as `mask_of`. Raises InputError when it cannot be read or holds several slices."""
    return mask_of(read_scan(source, name))
