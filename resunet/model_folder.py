"""The model folder: the only module that knows the file names inside it, and what its config.json says."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.data.description import DataSetDescription
from resunet.errors import InputError
from resunet.files import PackedMasks, file_sha256, write_json

REPOSITORY = Path(__file__).resolve().parents[1]
WEIGHTS_FILE = "model.safetensors"
GRAPH_FILE = "model.onnx"
CONFIG_FILE = "config.json"
HISTORY, SNAPSHOTS, CARD = "history.csv", "snapshots.npz", "README.md"
DETECTOR = "out_of_distribution.npz"  # out-of-distribution detector, which stage 1 carries
CHECKPOINT = "checkpoint.safetensors"  # state for an exact resume; it stays in the run folder
SLICES, SUMMARY, SWEEP, MASKS = "slices.csv", "summary.json", "sweep.npz", "masks.npz"  # of an evaluation
CASES = "cases.csv"  # of an evaluation of whole volumes, in place of the slices


@dataclass(frozen=True)
class CleanUp:
    """Which 8-connected components of a slice's mask go: those of fewer pixels than min_area, or all but the largest."""

    min_area: int = 0
    largest_only: bool = False


@dataclass(frozen=True)
class Gate:
    """The p_tumour of stage 1 below which a slice counts as empty, the model that gives it, and the split that chose it."""

    model: str
    threshold: float
    split: str
    val_gated_balanced_dice: float


@dataclass(frozen=True)
class Calibration:
    """P(tumour) is the logistic function of scale * logit + shift (Platt 1999)."""

    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Latency:
    """Median milliseconds that a slice takes, preparation and clean-up left out, and the processor that it was timed on."""

    milliseconds: float
    processor: str


@dataclass(frozen=True)
class Fusion:
    """The members of an ensemble by name, the weight of each one's probabilities (they sum to 1), and what chose them."""

    members: tuple[str, ...]
    shares: tuple[float, ...]
    split: str
    val_volume_dice_mean: float


@dataclass(frozen=True)
class ModelConfig:
    """config.json: everything that is known about a model.

    Attributes:
        display_name: what people read; `name` stands in paths and commands.
        task: "segmentation" or "classification".
        input_size: side of the square input, in pixels.
        context: slices before and after its own that the network sees.
        classes: the kinds of tumour that the network tells apart, in the order of its outputs; empty where it tells none.
        threshold: probability from which a pixel (or, in stage 1, a slice) counts as tumour.
        threshold_split: the split that chose it; None until it was chosen.
        split_scheme: how the data were divided: "patient", "slice" or "fold0" to "fold4".
        patients: names in "train" and "val".
        trained_on: hardware, duration and code, where it was not this package's loop on two cores.
        latency: None until `resunet time` has measured it.
        sha256: hexadecimal digests by file name.
    """

    name: str
    display_name: str
    architecture: str
    task: str
    input_size: int
    data_set: DataSetDescription
    preprocessing: str
    split_scheme: str
    data_fingerprint: str
    split_hash: str
    patients: Mapping[str, tuple[str, ...]]
    slices: Mapping[str, int]
    parameters: int
    gflop: float
    versions: Mapping[str, str]
    git_commit: str | None
    sha256: Mapping[str, str]
    context: int = 0
    classes: tuple[str, ...] = ()
    threshold: float = 0.5
    threshold_split: str | None = None
    threshold_figures: Mapping[str, float] = field(default_factory=dict)
    postprocessing: CleanUp = CleanUp()
    gate: Gate | None = None
    calibration: Calibration = Calibration()
    fusion: Fusion | None = None
    recipe: Mapping[str, Any] | None = None
    best_epoch: int | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    optimiser: str = ""
    initialisation: str = ""
    trained_on: str = ""
    latency: Latency | None = None

    @property
    def keeps_weights(self) -> bool:
        """False for an ablation: it keeps everything but its weights."""
        return self.recipe is None or bool(self.recipe["keep_weights"])

    @property
    def channels(self) -> int:
        """Channels of an image: 1 or 3."""
        return len(self.data_set.channels)

    @property
    def held_out(self) -> tuple[str, str]:
        """Models with equal values can be compared: the same slices were held out from them."""
        return self.split_scheme, self.split_hash

    def split_of(self, patient: str) -> str | None:
        """'train' or 'val' where this model saw the patient in training or in choosing; None elsewhere."""
        return next((split for split, names in self.patients.items() if patient in names), None)

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> ModelConfig:
        """From the JSON object; unknown fields are left out. Raises ValueError where it is not one that this version reads."""
        config = msgspec.convert(content, cls)
        if not re.fullmatch(r"\w[\w.-]*", config.name):
            raise ValueError(f"'{config.name}' is no name for a model")  # it becomes a folder's
        return config


@dataclass(frozen=True)
class ModelFolder:
    """One model with its evidence (weights, graph, configuration, history, snapshots, evaluations, card).

    Reading an optional file that is missing gives None; reading a damaged one raises InputError.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def evaluation_folder(self, evaluation: str) -> Path:
        """Where an evaluation lies."""
        return self.path / "evaluation" / evaluation

    def evaluation_path(self, evaluation: str, file: str) -> Path:
        """Where SLICES, SUMMARY, SWEEP or MASKS of an evaluation lies."""
        return self.evaluation_folder(evaluation) / file

    def evaluations(self) -> list[str]:
        """Names of the evaluations that have a summary, sorted."""
        return sorted(path.parent.name for path in self.path.glob(f"evaluation/*/{SUMMARY}"))

    def config(self) -> ModelConfig:
        """config.json. Raises InputError when it is missing, damaged or of another version."""
        if not (self.path / CONFIG_FILE).exists():
            raise InputError(f"{self.path} is not a model folder: {CONFIG_FILE} is missing.")
        content = self._json(self.path / CONFIG_FILE)
        try:
            return ModelConfig.parse(content)
        except ValueError as error:
            raise InputError(f"{self.path / CONFIG_FILE} is not a configuration that this version writes ({error}).") from error

    def write_config(self, config: ModelConfig) -> None:
        """Replace config.json."""
        write_json(self.path / CONFIG_FILE, asdict(config))

    def summary(self, evaluation: str) -> dict[str, Any] | None:
        """The aggregates of one evaluation, or None when it has not been run."""
        path = self.evaluation_path(evaluation, SUMMARY)
        return self._json(path) if path.exists() else None

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as JSON ({error}).") from error
        if not isinstance(content, dict):
            raise InputError(f"{path} must hold a JSON object.")
        return content

    def _table(self, path: Path) -> pd.DataFrame | None:
        if not path.exists():
            return None
        try:
            return pd.read_csv(path, dtype={"patient": str})
        except (OSError, ValueError, pd.errors.ParserError) as error:
            raise InputError(f"{path} cannot be read as a table ({error}).") from error

    def history(self) -> pd.DataFrame | None:
        """One row per epoch, or None."""
        return self._table(self.path / HISTORY)

    def slices(self, evaluation: str) -> pd.DataFrame | None:
        """One row per slice of one evaluation, or None."""
        return self._table(self.evaluation_path(evaluation, SLICES))

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
        """Names of the replay's slices and their masks (epochs, samples, H, W), or None."""
        arrays = self.arrays(self.path / SNAPSHOTS)
        return None if arrays is None else (arrays["names"].tolist(), PackedMasks.of(arrays))

    def check(self, file: str) -> Path:
        """The path of WEIGHTS_FILE or GRAPH_FILE, checked against its SHA-256. Raises InputError: missing or damaged."""
        path = self.path / file
        if not path.exists():
            advice = f"run resunet export {self.path}" if file == GRAPH_FILE else "fetch the folder again, or train the model"
            raise InputError(f"{self.path} has no {file}; {advice}.")
        if self.config().sha256.get(file) != file_sha256(path):
            advice = "fetch it again" + (f", or run resunet export {self.path}" if file == GRAPH_FILE else "")
            raise InputError(f"{path} is damaged: its SHA-256 is not the one in {CONFIG_FILE}; {advice}.")
        return path
