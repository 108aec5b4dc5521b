"""Files written whole or not at all: to a temporary name, then moved. And masks as PNG or packed into bits."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from filelock import FileLock, Timeout

from resunet.errors import BusyError, InputError

NAMED = 40  # characters of a file's name that are in that of its temporary file, so that no long name becomes too long


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path` that replaces it when the block succeeds and vanishes when it fails.

    A reader therefore sees the old file or the new one, never a part; a full disk leaves the old one untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:NAMED]}.", suffix=path.suffix)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path, mark: str) -> Iterator[Path]:
    """Yield a new, empty neighbour folder that takes the place of `path` when the block succeeds.

    Raises:
        InputError: `path` holds files, but none called `mark`: not the kind of folder that may be replaced.
    """
    if path.exists() and not (path / mark).exists() and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} is in use for something else; name a new folder or one that holds {mark}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    retired = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            path.replace(retired)
        temporary.replace(path)
    finally:
        for folder in (temporary, retired):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; when the block succeeds, its files move into `folder` one right after the other.

    For files that belong together and take their time to make: a kill while they are made changes nothing in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".new."))
    try:
        yield temporary
        for path in sorted(temporary.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none takes its place before all are whole."""
    with ExitStack() as stack:
        if taken := next((path for path in files if path.is_dir()), None):
            raise InputError(f"{taken} is a folder, and a file of that name is to be written; give another folder with --out.")
        for path, content in files.items():
            stack.enter_context(atomic_path(path)).write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON, atomically. NaN becomes null: strict readers refuse a bare NaN."""
    write_text(path, json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n")


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    if isinstance(content, float | np.floating):
        return float(content) if np.isfinite(content) else None
    if isinstance(content, np.integer):
        return int(content)
    return content


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` without its index, floats to six significant digits, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


@contextmanager
def sole_writer(folder: Path, work: str = "") -> Iterator[None]:
    """Hold a folder, or one kind of work on it, for this process; the system lets go when the process ends, however it ends.

    Raises:
        BusyError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f".{work}lock", blocking=False):
            yield
    except Timeout:
        raise BusyError(f"Another process is writing to {folder}; wait for it or stop it first.") from None


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write named arrays as a compressed .npz, atomically."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def encode_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    """A mask (H, W) as an 8-bit PNG of 0 and 255."""
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


@dataclass(frozen=True)
class PackedMasks:
    """Masks (..., H, W) kept in an eighth of their size; indexing along any axis but the last unpacks what is asked for.

    Attributes:
        bits: (..., H, ceil(W / 8)) uint8.
        width: W.
    """

    bits: npt.NDArray[np.uint8]
    width: int

    @classmethod
    def pack(cls, masks: npt.NDArray[np.bool_]) -> PackedMasks:
        """From masks (..., H, W)."""
        return cls(np.packbits(masks, axis=-1), masks.shape[-1])

    @classmethod
    def of(cls, arrays: dict[str, npt.NDArray[Any]]) -> PackedMasks:
        """From what `arrays` gave."""
        return cls(arrays["bits"], int(arrays["shape"][-1]))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As named arrays for an .npz file."""
        return {"bits": self.bits, "shape": np.asarray(self.shape, dtype=np.int32)}

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.bits.shape[:-1], self.width)

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, index: Any) -> npt.NDArray[np.bool_]:
        return np.unpackbits(self.bits[index], axis=-1, count=self.width).astype(bool)
