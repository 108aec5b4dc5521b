"""The app served from this checkout, for benchmarks, browser tests and screenshots: no data set, a port of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 60  # until a server that does not answer counts as broken


class Server(NamedTuple):
    """A running server: where it answers, and its process."""

    address: str
    process: subprocess.Popen[bytes]

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=2)
        except OSError:
            return False
        return True


@contextmanager
def launched() -> Iterator[Server]:
    """A server that has just been started and may not answer yet; stopped at the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.address", "127.0.0.1"]
    env = {name: value for name, value in os.environ.items() if name != "LGG_DATA"}
    with subprocess.Popen(line, cwd=REPOSITORY, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield Server(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()


@contextmanager
def serving() -> Iterator[Server]:
    """A server that answers. Raises TimeoutError when it does not come up."""
    with launched() as server:
        deadline = time.monotonic() + SECONDS
        while not server.is_ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{server.address} did not answer within {SECONDS} seconds")
            time.sleep(0.2)
        yield server
