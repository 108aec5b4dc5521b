"""The model folder: the only module that knows the file names inside it."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.errors import InputError
from resunet.files import PackedMasks, file_sha256

if TYPE_CHECKING:
    import torch

REPOSITORY = Path(__file__).resolve().parents[1]
SLICES, SUMMARY, SWEEP, MASKS = "slices.csv", "summary.json", "sweep.npz", "masks.npz"


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

    def keeps_weights(self) -> bool:
        """False for a run that only answers a question: it keeps everything but its weights. Raises InputError."""
        return bool(self.config().get("recipe", {}).get("keep_weights", True))

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

    def arrays(self, path: Path) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays of an .npz file of the folder, or None when it is absent. Raises InputError when it is damaged."""
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path} cannot be read as arrays ({error}).") from error

    def snapshots(self) -> tuple[list[str], PackedMasks] | None:
        """Names of the bundled samples and their masks (epochs, samples, H, W), or None."""
        arrays = self.arrays(self.snapshots_path)
        return None if arrays is None else (arrays["names"].tolist(), PackedMasks.of(arrays))

    def sweep(self, protocol: str) -> dict[str, npt.NDArray[Any]] | None:
        """Figures of every slice under every threshold, or None."""
        return self.arrays(self.slices_path(protocol).with_name(SWEEP))

    def masks(self, protocol: str) -> PackedMasks | None:
        """Predicted masks (N, H, W), ungated, rows as in slices.csv, or None."""
        arrays = self.arrays(self.slices_path(protocol).with_name(MASKS))
        return None if arrays is None else PackedMasks.of(arrays)

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
