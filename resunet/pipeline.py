"""The one door to the models: an image in, a Prediction of plain NumPy arrays out."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from resunet.artifacts import ModelFolder
from resunet.data.readers import ONE_CHANNEL, checked
from resunet.data.transforms import FloatImage, fit_back, fit_to_grid, normalise, resize
from resunet.engine import Engine, ExplainedClassifier
from resunet.errors import InputError
from resunet.hub import find_model
from resunet.models import CLASSIFICATION, build_model
from resunet.models.classifier import ResNet50Classifier
from resunet.postprocess import CleanUp, to_mask
from resunet.runtime import compute_dtype, configure_threads, default_device

FLAGSHIP = "resunet_wide"
STAGE_1 = "resnet50"
FRAME = 256  # side of the frame on which stage 1's input is prepared, as in training


@dataclass(frozen=True)
class Prediction:
    """What the pipeline says about one slice of H x W pixels.

    Attributes:
        p_tumour: stage 1's calibrated probability that the slice shows a tumour, in [0, 1].
        gate: below this p_tumour the slice is taken as empty.
        threshold: pixels of at least this probability are tumour.
        clean_up: which components stay.
        probability: (H, W) float32 in [0, 1], or None where the gate stopped the slice before stage 2.
        attention: (H, W) float32 in [0, 1], stage 1's Grad-CAM scaled to its maximum.
        uncertainty: (H, W) float32, standard deviation over test-time augmentations, or None.
        seconds: time by step.
        notes: sentences about what was done to the input.
    """

    p_tumour: float
    gate: float
    threshold: float
    clean_up: CleanUp
    probability: FloatImage | None
    attention: FloatImage
    uncertainty: FloatImage | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def gated(self) -> bool:
        """Whether stage 1 stopped this slice."""
        return self.p_tumour < self.gate

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(H, W) bool; all False where the gate stopped the slice."""
        if self.gated or self.probability is None:
            return np.zeros(self.attention.shape, bool)
        return to_mask(self.probability, self.threshold, self.clean_up)

    def at(self, threshold: float | None = None, gate: float | None = None) -> Prediction:
        """The same probabilities under another threshold or gate; no forward pass.

        Raises:
            InputError: the gate is lowered so that stage 2 is needed but was not run (`segment_all` runs it always).
        """
        moved = replace(
            self,
            threshold=self.threshold if threshold is None else threshold,
            gate=self.gate if gate is None else gate,
        )
        if not moved.gated and moved.probability is None:
            raise InputError("Stage 2 was not run on this slice; predict it again with segment_all=True.")
        return moved


class TumourPipeline:
    """Stage 1 and stage 2 with their preprocessing. Thread-safe: forward passes take turns."""

    def __init__(self, segmenter: ModelFolder, classifier: ModelFolder | None, dtype: torch.dtype | None = None) -> None:
        configure_threads()
        self.device = default_device()
        self.dtype = dtype or compute_dtype(self.device)
        self.config = segmenter.config()
        self.size = int(self.config["input_size"])
        self.threshold = float(self.config["threshold"])
        self.clean_up = CleanUp(**self.config["postprocessing"])
        self._segment = Engine(load_model(segmenter), self.size, self.device, self.dtype)
        self.classifier_config = classifier.config() if classifier else {}
        self.gate = float(self.config.get("gate", {}).get("threshold", 0.0)) if classifier else 0.0
        self._classify: Engine | None = None
        if classifier:
            network = load_model(classifier)
            if not isinstance(network, ResNet50Classifier):
                raise InputError(f"{classifier.path} is not a stage 1 model; give a folder whose task is classification.")
            size = int(self.classifier_config["input_size"])
            self._classify = Engine(ExplainedClassifier(network), size, self.device, self.dtype)
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls, segmenter: str | Path = FLAGSHIP, classifier: str | Path | None = STAGE_1, dtype: torch.dtype | None = None
    ) -> TumourPipeline:
        """Load both stages by model name or folder; `classifier` None leaves stage 1 out.

        Raises:
            InputError: a model is missing, damaged or of the wrong kind.
        """
        stage_1 = find_model(classifier) if classifier is not None else None
        return cls(find_model(segmenter), stage_1, dtype)

    def predict(self, image: npt.NDArray[np.generic], segment_all: bool = False, tta: bool = False) -> Prediction:
        """Both stages on one slice.

        Args:
            image: (H, W) or (H, W, 1 or 3), real and finite, any range; channels pre-contrast, FLAIR, post-contrast.
            segment_all: run stage 2 even where the gate stops the slice, so that `Prediction.at` can lower the gate.
            tta: average stage 2 over four flips; their disagreement becomes the uncertainty map.

        Raises:
            InputError: the array is not a slice.
        """
        return self.predict_batch([image], segment_all, tta)[0]

    def predict_volume(self, slices: npt.NDArray[np.generic], tta: bool = False, batch: int = 8) -> list[Prediction]:
        """Both stages on every slice of a volume (N, H, W, 3), `batch` at a time. Raises InputError."""
        found: list[Prediction] = []
        for start in range(0, len(slices), batch):
            found.extend(self.predict_batch(list(slices[start : start + batch]), tta=tta))
        return found

    def predict_batch(
        self, images: Sequence[npt.NDArray[np.generic]], segment_all: bool = False, tta: bool = False
    ) -> list[Prediction]:
        """`predict` for several slices at once; sizes may differ. Raises InputError."""
        started = time.perf_counter()
        slices, notes = zip(*(_as_slice(image) for image in images), strict=True)
        normalised = [normalise(image) for image in slices]
        prepared = time.perf_counter()
        p_tumour, attention = self._stage_1(normalised)
        classified = time.perf_counter()
        wanted = [index for index, p in enumerate(p_tumour) if segment_all or p >= self.gate]
        maps = self._stage_2([normalised[index] for index in wanted], tta)
        segmented = time.perf_counter()
        seconds = {
            "prepare": (prepared - started) / len(slices),
            "stage_1": (classified - prepared) / len(slices),
            "stage_2": (segmented - classified) / max(1, len(wanted)),
        }
        by_index = dict(zip(wanted, maps, strict=True))
        return [
            self._prediction(p_tumour[index], attention[index], by_index.get(index), image.shape, seconds, notes[index])
            for index, image in enumerate(slices)
        ]

    def _prediction(
        self,
        p_tumour: float,
        attention: FloatImage,
        maps: tuple[FloatImage, FloatImage | None] | None,
        shape: tuple[int, ...],
        seconds: dict[str, float],
        notes: tuple[str, ...],
    ) -> Prediction:
        height, width = shape[:2]
        probability, uncertainty = maps if maps else (None, None)
        return Prediction(
            p_tumour=p_tumour,
            gate=self.gate,
            threshold=self.threshold,
            clean_up=self.clean_up,
            probability=None if probability is None else fit_back(probability, height, width),
            attention=fit_back(attention, height, width),
            uncertainty=None if uncertainty is None else fit_back(uncertainty, height, width),
            seconds=seconds if maps else {name: value for name, value in seconds.items() if name != "stage_2"},
            notes=notes,
        )

    def _stage_1(self, images: list[FloatImage]) -> tuple[list[float], list[FloatImage]]:
        """Calibrated probabilities and Grad-CAM maps on the frame; without a classifier everything passes."""
        if self._classify is None:
            return [1.0] * len(images), [np.zeros((FRAME, FRAME), np.float32)] * len(images)
        inputs = [resize(fit_to_grid(image, FRAME), self._classify.size) for image in images]
        with self._turn:
            logits, cams = self._classify(_to_batch(inputs))
        calibration = self.classifier_config.get("calibration", {"scale": 1.0, "shift": 0.0})
        p_tumour = torch.sigmoid(calibration["scale"] * logits[:, 0] + calibration["shift"]).tolist()
        return p_tumour, [_spread(cam) for cam in cams.numpy()]

    def _stage_2(self, images: list[FloatImage], tta: bool) -> list[tuple[FloatImage, FloatImage | None]]:
        """Probability maps (S, S) and, with `tta`, their standard deviation over the flips."""
        if not images:
            return []
        batch = _to_batch([fit_to_grid(image, self.size) for image in images])
        views = [(), (3,), (2,), (2, 3)] if tta else [()]
        maps = []
        for axes in views:
            with self._turn:
                logits = self._segment(torch.flip(batch, axes) if axes else batch)[0]
            maps.append(torch.sigmoid(torch.flip(logits, axes) if axes else logits)[:, 0].numpy())
        stacked = np.stack(maps)
        if not tta:
            return [(plane, None) for plane in stacked[0]]
        return list(zip(stacked.mean(axis=0), stacked.std(axis=0), strict=True))


def load_model(folder: ModelFolder) -> torch.nn.Module:
    """The trained network of a model folder, in float32, weights checked and loaded strictly. Raises InputError."""
    config: dict[str, Any] = folder.config()
    model = build_model(str(config.get("architecture")))
    try:
        model.load_state_dict(folder.weights(), strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(f"The weights in {folder.path} do not fit {config['architecture']} ({first}).") from error
    return model.eval()


def is_classifier(folder: ModelFolder) -> bool:
    """Whether the folder holds a stage 1 model."""
    return folder.config().get("architecture") in CLASSIFICATION


def _as_slice(image: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], tuple[str, ...]]:
    """(H, W, 3) checked, and what was done to it."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3:
        raise InputError(f"The image has shape {image.shape}; a slice (H, W) or (H, W, 3) is expected.")
    scan = checked("The image", image[None])
    return scan.slices[0], tuple(note for note in scan.notes if note == ONE_CHANNEL)


def _to_batch(images: list[FloatImage]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _spread(cam: FloatImage) -> FloatImage:
    """A coarse Grad-CAM map on the frame, scaled to a maximum of 1; all zero stays zero."""
    highest = float(cam.max())
    return resize(np.ascontiguousarray(cam / highest if highest > 0 else cam, np.float32), FRAME)
