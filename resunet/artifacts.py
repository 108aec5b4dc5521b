"""The model folder: the only module that knows its file names, and how each file is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.errors import InputError

if TYPE_CHECKING:
    import torch

REPOSITORY = Path(__file__).resolve().parents[1]
SLICES, SUMMARY = "slices.csv", "summary.json"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path` that replaces it when the block succeeds and vanishes when it fails.

    A reader therefore sees the old file or the new one, never a part; a full disk leaves the old one untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
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
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new, empty neighbour folder that takes the place of `path` when the block succeeds."""
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


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors (no pickle), atomically."""
    from safetensors.torch import save_file  # torch takes seconds to import, and readers of tables do not need it

    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)


@dataclass(frozen=True)
class ModelFolder:
    """One model with its evidence (weights, configuration, history, snapshots, evaluations, card).

    Reading a file that is not there gives None; reading a damaged one raises InputError.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def weights_path(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def history_path(self) -> Path:
        return self.path / "history.csv"

    @property
    def snapshots_path(self) -> Path:
        return self.path / "snapshots.npz"

    @property
    def card_path(self) -> Path:
        return self.path / "README.md"

    @property
    def log_path(self) -> Path:
        return self.path / "training.log"

    @property
    def checkpoint_path(self) -> Path:
        """State for an exact resume; stays in the run folder and is not part of the promoted model."""
        return self.path / "checkpoint.safetensors"

    def slices_path(self, protocol: str) -> Path:
        return self.path / "evaluation" / protocol / SLICES

    def summary_path(self, protocol: str) -> Path:
        return self.path / "evaluation" / protocol / SUMMARY

    def protocols(self) -> list[str]:
        """Names of the evaluations that have a summary, sorted."""
        return sorted(path.parent.name for path in self.path.glob(f"evaluation/*/{SUMMARY}"))

    def config(self) -> dict[str, Any]:
        """config.json as a dictionary. Raises InputError when it is missing or damaged."""
        try:
            content = json.loads(self.config_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{self.path} is not a model folder: config.json is missing.") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{self.config_path} cannot be read as JSON ({error}).") from error
        if not isinstance(content, dict):
            raise InputError(f"{self.config_path} must hold a JSON object.")
        return content

    def summary(self, protocol: str) -> dict[str, Any] | None:
        """The aggregates of one evaluation, or None when it has not been run."""
        path = self.summary_path(protocol)
        if not path.exists():
            return None
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as JSON ({error}).") from error
        return content

    def table(self, path: Path) -> pd.DataFrame | None:
        """A CSV file of the folder, or None when it is absent."""
        if not path.exists():
            return None
        try:
            return pd.read_csv(path)
        except (OSError, ValueError, pd.errors.ParserError) as error:
            raise InputError(f"{path} cannot be read as a table ({error}).") from error

    def history(self) -> pd.DataFrame | None:
        """One row an epoch, or None."""
        return self.table(self.history_path)

    def slices(self, protocol: str) -> pd.DataFrame | None:
        """One row a slice of one evaluation, or None."""
        return self.table(self.slices_path(protocol))

    def weights(self) -> dict[str, torch.Tensor]:
        """The tensors of model.safetensors, checked against the SHA-256 in config.json.

        Raises:
            InputError: the file is missing, damaged or not the one that config.json names.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not self.weights_path.exists():
            raise InputError(f"{self.path} has no weights: model.safetensors is missing.")
        expected = self.config().get("sha256")
        if expected != file_sha256(self.weights_path):
            raise InputError(f"{self.weights_path} is damaged: its SHA-256 is not the one in config.json; fetch it again.")
        try:
            return load_file(self.weights_path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.weights_path} is not a valid safetensors file ({error}).") from error


def pack_masks(masks: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    """Bit-pack masks (epochs, samples, H, W) for snapshots.npz; `unpack_masks` is the inverse."""
    return {"bits": np.packbits(masks, axis=-1), "shape": np.asarray(masks.shape, dtype=np.int32)}


def unpack_masks(arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """The boolean masks (epochs, samples, H, W) that `pack_masks` packed."""
    width = int(arrays["shape"][-1])
    return np.unpackbits(arrays["bits"], axis=-1, count=width).astype(bool)
