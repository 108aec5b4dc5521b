"""The process in which untrusted files are decoded: it answers `SandboxedDecoder` until its input ends."""

from __future__ import annotations

import base64
import contextlib
import math
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from resunet.errors import InputError
from resunet.reading.formats.segmentation import write_segmentation
from resunet.reading.readers import find_dicom_series, read_dicom_series, read_scan, read_volume
from resunet.reading.sandbox import PACKED_MASK, receive, send
from resunet.reading.scan import Array, Scan
from resunet.reading.volume_scan import Volume

MAX_PIXEL_BYTES = 192 * 1024 * 1024  # of what one request may hold decoded
Files = dict[str, bytes]
Answer = tuple[dict[str, Any], Array]


def _scan(files: Files, request: dict[str, Any]) -> Answer:
    scan = read_scan(files[request["name"]], request["name"])
    pixels = scan.slices[..., :1] if scan.slices.strides[-1] == 0 else scan.slices
    return {field.name: getattr(scan, field.name) for field in fields(Scan) if field.name not in ("name", "slices")}, pixels


def _volume(files: Files, request: dict[str, Any]) -> Answer:
    return _fields(read_volume(files[request["name"]], request["name"]))


def _series(files: Files, request: dict[str, Any]) -> Answer:
    return _fields(read_dicom_series(files, request["name"]))


def _fields(volume: Volume) -> Answer:
    stated = {name: getattr(volume, name) for name in ("sides", "is_oriented", "notes", "modality")}
    header = "" if volume.header is None else base64.b64encode(volume.header.binaryblock).decode()
    return {**stated, "affine": volume.affine.tolist(), "header": header}, volume.voxels


def _find_series(files: Files, request: dict[str, Any]) -> Answer:
    return {"series": find_dicom_series(files)}, np.zeros(0, np.uint8)


def _segmentation(files: Files, request: dict[str, Any]) -> Answer:
    bits = np.frombuffer(files.pop(PACKED_MASK), np.uint8)
    volume = read_dicom_series(files, request["name"])
    mask = np.unpackbits(bits, count=math.prod(volume.shape)).reshape(volume.shape) > 0
    return {}, np.frombuffer(write_segmentation(volume, mask, request["model"], request["sequence"]), np.uint8)


TASKS: dict[str, Callable[[Files, dict[str, Any]], Answer]] = {
    "scan": _scan,
    "volume": _volume,
    "series": _series,
    "find series": _find_series,
    "segmentation": _segmentation,
}


def answer(request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], memoryview]:
    """What a request gives: its task's fields and pixels, or the sentence that says why not."""
    files = {}
    start = 0
    for name, size in zip(request["files"], request["sizes"], strict=True):
        files[name] = content[start : start + size]
        start += size
    try:
        fields, pixels = TASKS[request["task"]](files, request)
        if pixels.nbytes > MAX_PIXEL_BYTES:
            raise InputError(f"{request['name']} holds more than {MAX_PIXEL_BYTES >> 20} MB of pixels; give part of it.")
    except InputError as error:
        return {"error": str(error)}, memoryview(b"")
    return {"dtype": pixels.dtype.str, "shape": pixels.shape, **fields}, np.ascontiguousarray(pixels).data.cast("B")


def serve(memory: int) -> None:
    """Answer until the input ends, with at most `memory` bytes of address space."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would put a visitor's pixels on the disk
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            send(sys.stdout.buffer, *answer(*receive(sys.stdin.buffer)))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
