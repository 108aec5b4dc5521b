"""Files that people really send: broken, misnamed, oversized, of the wrong kind. One builder a case, with what must be said."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable

import nibabel
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from resunet.data.samples import load_samples

SAMPLE = load_samples()[3]


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def picture(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def nifti(volume: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    return nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine).to_bytes()


def dicom(pixels: np.ndarray | None, **attributes: object) -> bytes:
    """A minimal secondary capture, or one without pixel data."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    if pixels is not None:
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 0
        if pixels.ndim == 3:
            dataset.NumberOfFrames = len(pixels)
        dataset.PixelData = pixels.astype("<u2").tobytes()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def bomb_png() -> bytes:
    """A PNG whose header promises 20000x20000 pixels, in a few dozen bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def lying_npy() -> bytes:
    """A .npy whose header promises a terabyte."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (512, 512, 524288)})
    return stream.getvalue() + b"\0" * 64


NOT_FINITE = np.where(np.eye(64, dtype=bool), np.nan, 1.0)
INFINITE = np.where(np.eye(64, dtype=bool), np.inf, 1.0)
RGB = Image.fromarray(SAMPLE.image)

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "is empty"),
    "text.png": (lambda: b"this is no image, whatever its name says", "not an image that can be read"),
    "truncated.png": (lambda: SAMPLE.png[: len(SAMPLE.png) // 2], "damaged or incomplete"),
    "truncated.tif": (lambda: picture(RGB, "TIFF")[:90_000], "damaged or incomplete"),
    "truncated.jpg": (lambda: picture(RGB, "JPEG")[:3000], "damaged or incomplete"),
    "onepixel.png": (lambda: picture(Image.new("L", (1, 1)), "PNG"), "1x1 pixels; a slice needs at least 16x16"),
    "bomb.png": (bomb_png, "more pixels than|may have at most"),
    "wide.png": (lambda: picture(Image.new("L", (9000, 20)), "PNG"), "9000x20 pixels; a slice may have at most"),
    "nan.npy": (lambda: npy(NOT_FINITE), "NaN or infinite"),
    "inf.npy": (lambda: npy(INFINITE), "NaN or infinite"),
    "object.npy": (lambda: npy(np.array([{"a": 1}], dtype=object)), "never unpickled"),
    "complex.npy": (lambda: npy(np.ones((64, 64), complex)), "complex numbers"),
    "text.npy": (lambda: npy(np.full((64, 64), "x")), "must hold real numbers"),
    "scalar.npy": (lambda: npy(np.float64(3.0)), r"shape \(\)"),
    "two.npy": (lambda: npy(np.ones((64, 64, 2))), "2 channels"),
    "fivechannels.npy": (lambda: npy(np.ones((2, 64, 64, 5))), "5 channels"),
    "lying.npy": (lying_npy, "cut short"),
    "cut.npy": (lambda: npy(np.ones((64, 64)))[:500], "cut short"),
    "four.nii": (lambda: nifti(np.ones((32, 32, 8, 5), np.float32)), "4-dimensional with shape 32x32x8x5"),
    "complex.nii": (lambda: nifti(np.ones((32, 32, 8), np.complex64)), "complex numbers"),
    "nan.nii": (lambda: nifti(np.full((32, 32, 4), np.nan, np.float32)), "NaN or infinite"),
    "cut.nii": (lambda: nifti(np.ones((32, 32, 8), np.float32))[:900], "damaged or incomplete"),
    "cut.nii.gz": (lambda: gzip.compress(nifti(np.ones((32, 32, 8), np.float32)))[:60], "damaged gzip"),
    "text.nii.gz": (lambda: gzip.compress(b"hello " * 100), "not a NIfTI volume"),
    "report.dcm": (lambda: dicom(None), "DICOM file without pixels"),
    "cut.dcm": (lambda: dicom(np.ones((64, 64), np.uint16))[:-4000], "damaged or incomplete"),
    "tiny.dcm": (lambda: dicom(np.ones((4, 4), np.uint16)), "4x4 pixels"),
}


def endless_dicom(elements: int) -> bytes:
    """A DICOM file that is nothing but empty elements, each of which costs the reader far more than its eight bytes."""
    numbers = np.arange(elements, dtype=np.uint32) % 65000
    element = np.zeros(elements, dtype=[("group", "<u2"), ("element", "<u2"), ("kind", "S2"), ("length", "<u2")])
    element["group"], element["element"], element["kind"] = 0x0011, numbers + 16, b"US"
    return dicom(None) + element.tobytes()


def many_pages(pages: int, loop: bool = False) -> bytes:
    """A TIFF of small pages that share their pixels; in a loop, the last page names itself as the next."""
    pixels = 8
    entries = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, pixels)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 16), (279, 4, 1, 256)]
    size = 2 + 12 * len(entries) + 4
    first = pixels + 256
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    following = [first + (page + 1) * size for page in range(pages - 1)]
    following.append(first + (pages - 1) * size if loop else 0)
    directories = b"".join(directory + struct.pack("<I", at) for at in following)
    return b"II*\0" + struct.pack("<I", first) + bytes(range(256)) + directories
