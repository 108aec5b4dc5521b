"""The two stages, each from its model folder: normalised slices in, calibrated probabilities out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from resunet.artifacts import ModelFolder
from resunet.data.transforms import FloatImage, fit_to_grid, resize
from resunet.engine import Engine, ExplainedClassifier
from resunet.errors import InputError
from resunet.hub import find_model
from resunet.models import build_model
from resunet.models.classifier import ResNet50Classifier
from resunet.models.ensemble import Ensemble
from resunet.postprocess import CleanUp
from resunet.runtime import compute_dtype, default_device

FRAME = 256  # side of the frame on which stage 1's input is prepared, as in training

# One forward pass at a time in this process: two at once would fight for the same cores. Making an engine takes its turn too,
# since torch.fx traces a network by patching what every call of every module goes through.
_TURN = threading.Lock()


def load_model(folder: ModelFolder) -> torch.nn.Module:
    """The trained network of a model folder, in float32 and eval mode, weights checked and loaded strictly.

    A folder that names members holds no weights of its own; each member is loaded from its folder.

    Raises:
        InputError: configuration or weights are missing, damaged or do not belong together.
    """
    config = folder.config()
    if "members" in config:
        beside = folder.path.parent
        members = [load_model(find_model(name, beside)) for name in config["members"]]
        return Ensemble(members, config["fusion"]["shares"]).eval()
    with torch.device("meta"):  # no time for initial values that the trained ones replace
        model = build_model(str(config.get("architecture")))
    try:
        model.load_state_dict(folder.weights(), strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(f"The weights in {folder.path} do not fit {config['architecture']} ({first}).") from error
    return model.float().eval()


class Stage1:
    """Does the slice show a tumour? Loaded from a classification model's folder.

    Attributes:
        threshold: p_tumour at which the classifier on its own says yes; chosen on validation.
    """

    def __init__(self, folder: ModelFolder, dtype: torch.dtype | None = None) -> None:
        device = default_device()
        self.config = folder.config()
        self.threshold = float(self.config["threshold"])
        network = load_model(folder)
        if not isinstance(network, ResNet50Classifier):
            raise InputError(f"{folder.path} is not a stage 1 model; give a folder whose task is classification.")
        size = int(self.config["input_size"])
        with _TURN:
            self._engine = Engine(ExplainedClassifier(network), size, device, dtype or compute_dtype(device))
        calibration = self.config.get("calibration") or {"scale": 1.0, "shift": 0.0}
        self._scale, self._shift = float(calibration["scale"]), float(calibration["shift"])

    def __call__(self, images: Sequence[FloatImage]) -> tuple[list[float], list[FloatImage]]:
        """p_tumour in [0, 1] and Grad-CAM (FRAME, FRAME) in [0, 1] of each normalised slice (H, W, 3)."""
        inputs = [resize(fit_to_grid(image, FRAME), self._engine.size) for image in images]
        with _TURN:
            logits, cams = self._engine(_to_batch(inputs))
        p_tumour: list[float] = torch.sigmoid(self._scale * logits[:, 0] + self._shift).tolist()
        return p_tumour, [_spread(cam) for cam in cams.numpy()]


@dataclass(frozen=True)
class ProbabilityMap:
    """P(tumour) a pixel, (S, S) float32, and its standard deviation over test-time augmentations where there were any."""

    mean: FloatImage
    deviation: FloatImage | None = None


class Stage2:
    """Where is the tumour? Loaded from a segmentation model's folder.

    Attributes:
        size: side of the model's grid in pixels.
        threshold, clean_up: how a map becomes a mask; chosen on validation.
        gate: p_tumour below which a slice is taken as empty; chosen on validation for the two stages together.
    """

    FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))

    def __init__(self, folder: ModelFolder, dtype: torch.dtype | None = None) -> None:
        device = default_device()
        self.config = folder.config()
        if self.config.get("task") != "segmentation":
            raise InputError(f"{folder.path} is not a stage 2 model; give a folder whose task is segmentation.")
        self.size = int(self.config["input_size"])
        self.threshold = float(self.config["threshold"])
        self.clean_up = CleanUp(**self.config["postprocessing"])
        self.gate = float((self.config.get("gate") or {"threshold": 0.5})["threshold"])
        network = load_model(folder)
        with _TURN:
            self._engine = Engine(network, self.size, device, dtype or compute_dtype(device))

    def __call__(self, images: Sequence[FloatImage], tta: bool = False) -> list[ProbabilityMap]:
        """Probability maps of normalised slices (H, W, 3) on the model's grid; `tta` averages over four flips."""
        if not images:
            return []
        batch = _to_batch([fit_to_grid(image, self.size) for image in images])
        views = []
        for axes in self.FLIPS if tta else self.FLIPS[:1]:
            with _TURN:
                logits = self._engine(torch.flip(batch, axes))[0]
            views.append(torch.sigmoid(torch.flip(logits, axes))[:, 0].numpy())
        stacked = np.stack(views)
        if not tta:
            return [ProbabilityMap(plane) for plane in stacked[0]]
        return [ProbabilityMap(*maps) for maps in zip(stacked.mean(axis=0), stacked.std(axis=0), strict=True)]


def _to_batch(images: Sequence[FloatImage]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _spread(cam: FloatImage) -> FloatImage:
    """A coarse Grad-CAM map on the frame, scaled to a maximum of 1; all zero stays zero."""
    highest = float(cam.max())
    return resize(np.ascontiguousarray(cam / highest if highest > 0 else cam, np.float32), FRAME)
