"""Untrusted files decoded in a process of their own: bounded in time and memory, and a crash there ends nothing else.

The process is told nothing but the file: it has no secrets in its environment and writes to no disk. It reads, from its
standard input, a line of JSON and the bytes of a file, and answers with a line of JSON and the pixels.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from resunet.data.formats.nifti import nifti_header
from resunet.data.readers import read_scan, read_volume
from resunet.data.scan import Array, Placement, Scan, spread_channel
from resunet.data.volume import Volume
from resunet.errors import InputError

TIMEOUT = 5.0  # seconds for one file
MEMORY = 1536 * 1024 * 1024  # bytes of address space of the process
MAX_PIXEL_BYTES = 192 * 1024 * 1024  # of what one file may hold decoded
IDLE = 20.0  # seconds without a file after which the process ends
PASSED_VARIABLES = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "TMPDIR")


class SandboxedDecoder:
    """Decodes one file after the other in a process that starts on demand and ends when idle. Thread-safe.

    Args:
        timeout: seconds for one file; the process is killed when it takes longer.
        memory: bytes of address space that the process may use (where the system can limit it).
        idle: seconds without a file after which the process ends.
    """

    def __init__(self, timeout: float = TIMEOUT, memory: int = MEMORY, idle: float = IDLE) -> None:
        self.timeout, self.memory, self.idle = timeout, memory, idle
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing: threading.Timer | None = None

    def read(self, content: bytes, name: str) -> Scan:
        """`read_scan` of the bytes. Raises InputError, also when the file takes too long or breaks its decoder."""
        answer, pixels = self._decode(content, name, "scan")
        slices = np.frombuffer(pixels, answer["dtype"]).reshape(answer["shape"])
        spacing, placement = answer["spacing"], answer["placement"]
        return Scan(
            name,
            spread_channel(slices),
            tuple(spacing) if spacing else None,
            tuple(answer["notes"]),
            answer["modality"],
            Placement(placement[0], tuple(placement[1])) if placement else None,
        )

    def read_volume(self, content: bytes, name: str) -> Volume:
        """`readers.read_volume` of the bytes. Raises InputError as `read`."""
        answer, voxels = self._decode(content, name, "volume")
        return Volume(
            name,
            np.frombuffer(voxels, answer["dtype"]).reshape(answer["shape"]),
            np.array(answer["affine"]),
            tuple(answer["sides"]) if answer["sides"] else None,
            answer["is_oriented"],
            tuple(answer["notes"]),
            nifti_header(base64.b64decode(answer["header"])),
        )

    def _decode(self, content: bytes, name: str, kind: str) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            process = self._running()
            with _killed_after(self.timeout, process) as late:
                try:
                    answer, payload = self._ask(process, content, name, kind)
                except (OSError, EOFError, ValueError):
                    self._end()
                    what = f"takes more than {self.timeout:g} s to decode" if late.is_set() else "breaks its decoder"
                    raise InputError(f"{name} {what}; export it again as PNG, or give part of it.") from None
            self._end_when_idle()
        if "error" in answer:
            raise InputError(answer["error"])
        return answer, payload

    def close(self) -> None:
        """End the process; the next file starts another."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            package = str(Path(__file__).resolve().parents[2])
            environment = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self.memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment | {"PYTHONPATH": package, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        return self._process

    def _end_when_idle(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
        self._closing = threading.Timer(self.idle, self.close)
        self._closing.daemon = True
        self._closing.start()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    @staticmethod
    def _ask(process: subprocess.Popen[bytes], content: bytes, name: str, kind: str) -> tuple[dict[str, Any], bytes]:
        assert process.stdin is not None and process.stdout is not None
        _send(process.stdin, {"name": name, "kind": kind}, memoryview(content))
        return _receive(process.stdout)


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kill the process unless the block ends in time; the event says whether that was done."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    limit = threading.Timer(seconds, kill)
    limit.start()
    try:
        yield late
    finally:
        limit.cancel()


def _send(stream: IO[bytes], header: dict[str, Any], payload: memoryview) -> None:
    stream.write(json.dumps(header | {"bytes": payload.nbytes}).encode() + b"\n")
    stream.write(payload)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Raises EOFError when the other side has ended."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    header: dict[str, Any] = json.loads(line)
    payload = stream.read(header["bytes"])
    if len(payload) != header["bytes"]:
        raise EOFError
    return header, payload


def _answer(content: bytes, name: str, kind: str) -> tuple[dict[str, Any], memoryview]:
    try:
        header, pixels = (_volume if kind == "volume" else _scan)(content, name)
        if pixels.nbytes > MAX_PIXEL_BYTES:
            raise InputError(f"{name} holds more than {MAX_PIXEL_BYTES >> 20} MB of pixels; give part of it.")
    except InputError as error:
        return {"error": str(error)}, memoryview(b"")
    return {"dtype": pixels.dtype.str, "shape": pixels.shape, **header}, np.ascontiguousarray(pixels).data.cast("B")


def _scan(content: bytes, name: str) -> tuple[dict[str, Any], Array]:
    scan = read_scan(content, name)
    pixels = scan.slices[..., :1] if scan.slices.strides[-1] == 0 else scan.slices
    fields = {name: getattr(scan, name) for name in ("spacing", "notes", "modality", "placement")}
    return fields, pixels


def _volume(content: bytes, name: str) -> tuple[dict[str, Any], Array]:
    volume = read_volume(content, name)
    fields = {name: getattr(volume, name) for name in ("sides", "is_oriented", "notes")}
    header = base64.b64encode(volume.header.binaryblock).decode()
    return {**fields, "affine": volume.affine.tolist(), "header": header}, volume.voxels


def _serve(memory: int) -> None:
    """The process's side: answer until the input ends."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would put a visitor's pixels on the disk
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            header, content = _receive(sys.stdin.buffer)
            _send(sys.stdout.buffer, *_answer(content, header["name"], header["kind"]))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
