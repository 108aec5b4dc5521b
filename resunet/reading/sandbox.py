"""Untrusted files decoded in a process of their own: bounded in time and memory, and a crash there ends nothing else.

The process is told nothing but the files: it has no secrets in its environment and writes to no disk. It reads, from its
standard input, a line of JSON and the bytes of files, and answers with a line of JSON and the pixels (`sandbox_worker`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from resunet.errors import InputError
from resunet.reading.formats.nifti import nifti_header
from resunet.reading.formats.series import Series
from resunet.reading.scan import Array, BoolMask, Placement, Scan, spread_channel
from resunet.reading.volume_scan import Volume

TIMEOUT = 5.0  # seconds for one file
MEMORY = 1536 * 1024 * 1024  # bytes of address space of the process
SECONDS_PER_FILE = 0.1  # more for each further file of a series
IDLE = 20.0  # seconds without a file after which the process ends
WORKER = "resunet.reading.sandbox_worker"
PACKED_MASK = "\0mask"  # among the files of a request for a segmentation: the packed mask, under a name that no file has
PASSED_VARIABLES = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "TMPDIR")


class SandboxedDecoder:
    """Decodes one file, or one series, after the other in a process that starts on demand and ends when idle. Thread-safe.

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
        answer, slices = self._request("scan", {name: content}, name)
        spacing, placement = answer["spacing"], answer["placement"]
        return Scan(
            name,
            spread_channel(slices),
            tuple(spacing) if spacing else None,
            tuple(answer["notes"]),
            answer["modality"],
            Placement(placement[0], tuple(placement[1])) if placement else None,
            answer["plane"],
            answer["sequence"],
            answer["sides"],
        )

    def read_volume(self, content: bytes, name: str) -> Volume:
        """`readers.read_volume` of the bytes. Raises InputError as `read`."""
        return _volume(name, *self._request("volume", {name: content}, name))

    def find_series(self, files: Mapping[str, bytes]) -> list[Series]:
        """`series.find_series` of files by name. Raises InputError as `read`."""
        answer, _ = self._request("find series", files, "The series")
        return [
            Series(description, tuple(names), frames, study, sequence, uid, tuple(instances))
            for description, names, frames, study, sequence, uid, instances in answer["series"]
        ]

    def read_series(self, files: Mapping[str, bytes], name: str) -> Volume:
        """`readers.read_dicom_series` of files by name, without their data sets. Raises InputError as `read`."""
        return _volume(name, *self._request("series", files, name))

    def write_segmentation(
        self, files: Mapping[str, bytes], name: str, mask: BoolMask, model: str, sequence: str = ""
    ) -> bytes:
        """A DICOM SEG of the mask (I, J, K) of such a series. Raises InputError as `read`."""
        packed = {**files, PACKED_MASK: np.packbits(mask).tobytes()}
        return self._request("segmentation", packed, name, model=model, sequence=sequence)[1].tobytes()

    def _request(self, task: str, files: Mapping[str, bytes], name: str, **options: Any) -> tuple[dict[str, Any], Array]:
        sizes = [len(content) for content in files.values()]
        request = {"task": task, "name": name, "files": list(files), "sizes": sizes, **options}
        with self._lock:
            process = self._running()
            seconds = self.timeout + SECONDS_PER_FILE * (len(files) - 1)
            with _killed_after(seconds, process) as late:
                try:
                    answer, payload = self._ask(process, request, b"".join(files.values()))
                except (OSError, EOFError, ValueError):
                    self._end()
                    what = f"takes more than {seconds:g} s to decode" if late.is_set() else "breaks its decoder"
                    raise InputError(f"{name} {what}; export it again as PNG, or give part of it.") from None
            self._end_when_idle()
        if "error" in answer:
            raise InputError(answer["error"])
        return answer, np.frombuffer(payload, answer["dtype"]).reshape(answer["shape"])

    def close(self) -> None:
        """End the process; the next file starts another."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            package = str(Path(__file__).resolve().parents[2])
            environment = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(self.memory)],
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
    def _ask(process: subprocess.Popen[bytes], request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        assert process.stdin is not None and process.stdout is not None
        send(process.stdin, request, memoryview(content))
        return receive(process.stdout)


def _volume(name: str, answer: dict[str, Any], voxels: Array) -> Volume:
    return Volume(
        name,
        voxels,
        np.array(answer["affine"]),
        tuple(answer["sides"]) if answer["sides"] else None,
        answer["is_oriented"],
        tuple(answer["notes"]),
        nifti_header(base64.b64decode(answer["header"])) if answer["header"] else None,
        answer["modality"],
    )


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


def send(stream: IO[bytes], header: dict[str, Any], payload: memoryview) -> None:
    """A line of JSON, and the bytes that it announces."""
    stream.write(json.dumps(header | {"bytes": payload.nbytes}).encode() + b"\n")
    stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """What `send` sent. Raises EOFError when the other side has ended."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    header: dict[str, Any] = json.loads(line)
    payload = stream.read(header["bytes"])
    if len(payload) != header["bytes"]:
        raise EOFError
    return header, payload
