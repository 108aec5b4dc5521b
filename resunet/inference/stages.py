"""The two stages, each from its model folder: a normalised slice in, calibrated probabilities out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from resunet.catalogue import find_model
from resunet.data.transforms import FloatImage, fit_to_grid, has_few_levels, resize
from resunet.errors import InputError
from resunet.inference.framing import FRAME
from resunet.inference.out_of_distribution import OutOfDistributionDetector
from resunet.inference.runtime import Network, Precision, has_bfloat16
from resunet.inference.windows import WINDOW, in_windows
from resunet.model_folder import ModelFolder

FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))  # axes of (N, S, S) or (N, S, S, 3)


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 / (1 + exp(-x)), by way of tanh, which neither overflows nor loses digits."""
    return np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * logits)


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Shares (..., K) of logits (..., K), which sum to 1."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


class Judgement(NamedTuple):
    """What stage 1 says about a slice.

    Attributes:
        p_tumour: calibrated probability that it shows a tumour, in [0, 1].
        grad_cam: (FRAME, FRAME) float32, scaled to its maximum; all 0 where there is no evidence.
        ood_score: above 0 for a picture unlike the training slices, as `OutOfDistributionDetector` scores it; NaN where the
            folder has no such file, or the slice too few grey levels to tell.
    """

    p_tumour: float
    grad_cam: FloatImage
    ood_score: float


class Stage1:
    """Does the slice show a tumour? Loaded from a classification model's folder.

    Attributes:
        threshold: p_tumour at which the classifier on its own says yes; chosen on validation.

    Args:
        precision: by default bfloat16 where the processor has it.
    """

    def __init__(self, folder: ModelFolder, precision: Precision | None = None) -> None:
        self.config = folder.config()
        if self.config.task != "classification":
            raise InputError(f"{folder.path} is not a stage 1 model; give a folder whose task is classification.")
        self.threshold = self.config.threshold
        self._detector = OutOfDistributionDetector.of(folder)
        self._network = Network(folder, self.config.input_size, precision or ("bfloat16" if has_bfloat16() else "float32"))

    def save_memory(self) -> None:
        """Give back 94 MB of a ResNet-50 for good; takes 0.4 s, which a server can spare and a command line cannot."""
        self._network.move_constants()

    def __call__(self, image: FloatImage) -> Judgement:
        """What stage 1 says about a normalised slice (H, W, 3)."""
        logit, cam, texture = self.outputs(image)
        calibration = self.config.calibration
        p_tumour = sigmoid(np.float32(calibration.scale) * logit + np.float32(calibration.shift))
        highest = float(cam.max())
        grad_cam = resize(cam / highest if highest > 0 else cam, FRAME)
        return Judgement(float(p_tumour[0]), grad_cam, self._ood_score(image, texture))

    def kinds(self, image: FloatImage) -> npt.NDArray[np.float32]:
        """Calibrated probability (K,) of each of the configuration's classes, for a normalised slice (H, W, C)."""
        return softmax(np.float32(self.config.calibration.scale) * self.outputs(image)[0])

    def _ood_score(self, image: FloatImage, texture: npt.NDArray[np.float32]) -> float:
        """Above 0 for pictures unlike the training slices; NaN where that cannot be said."""
        if self._detector is None or has_few_levels(image):
            return math.nan
        return float(self._detector.score(texture)) - self._detector.limit

    def outputs(self, image: FloatImage) -> tuple[npt.NDArray[np.float32], ...]:
        """Logits, Grad-CAM and texture (1024,) of a normalised slice (H, W, 3).

        Of a tumour, logits are (1,) and Grad-CAM (h, w); of its kind, (K,) and (K, h, w).
        """
        outputs = self._network(resize(fit_to_grid(image, FRAME), self.config.input_size)[None])
        return tuple(output[0] for output in outputs)


@dataclass(frozen=True)
class ProbabilityMap:
    """P(tumour) of each pixel, (S, S) float32, and its standard deviation over test-time augmentations if there were any.

    `kinds` is the calibrated probability (K,) of each kind of tumour, from a network that tells them.
    """

    mean: FloatImage
    deviation: FloatImage | None = None
    kinds: npt.NDArray[np.float32] | None = None


class Stage2:
    """Where is the tumour? Loaded from a segmentation model's folder, or an ensemble's, which names its members.

    Attributes:
        size: side of the model's grid in pixels.
        threshold, clean_up: how a map becomes a mask; chosen on validation.
        context: slices before and after its own that the network sees; 0 for one slice at a time.
        gate: p_tumour below which a slice is taken as empty; chosen on validation for the two stages together, or None.

    Args:
        precision: float32 by default: in bfloat16 the flagship's masks agree with those of float32 at Dice 0.998 only.
    """

    def __init__(self, folder: ModelFolder, precision: Precision | None = None) -> None:
        self.config = folder.config()
        if self.config.task != "segmentation":
            raise InputError(f"{folder.path} is not a stage 2 model; give a folder whose task is segmentation.")
        self.size = self.config.input_size
        self.threshold = self.config.threshold
        self.clean_up = self.config.postprocessing
        self.context = self.config.context
        self.gate = self.config.gate.threshold if self.config.gate else None
        fusion = self.config.fusion
        members = [find_model(name, folder.path.parent) for name in fusion.members] if fusion else [folder]
        self._shares = fusion.shares if fusion else (1.0,)
        self._networks = [Network(member, self.size, precision or "float32") for member in members]

    def __call__(self, image: FloatImage, tta: bool = False) -> ProbabilityMap:
        """`volume` of a single slice (H, W, 3)."""
        return next(self.volume([image], 1, tta))

    def volume(self, images: Iterable[FloatImage], count: int, tta: bool = False) -> Iterator[ProbabilityMap]:
        """Probability maps of normalised neighbouring slices (H, W, 3), on the model's grid, as they are asked for.

        Args:
            images: in order, read as they are needed.
            count: how many there are.
            tta: average over four flips.
        """
        grids = (fit_to_grid(image, self.size) for image in images)
        if self.config.classes:
            yield from (self._with_kinds(grid, tta) for grid in grids)
            return
        most = WINDOW if self.context else 1
        for views in in_windows(grids, count, lambda window: self._views(window, tta), self.context, most):
            yield ProbabilityMap(views.mean(axis=0), views.std(axis=0)) if tta else ProbabilityMap(views[0])

    def _with_kinds(self, grid: FloatImage, tta: bool) -> ProbabilityMap:
        """Outline and kind of one slice (S, S, C), averaged over the views."""
        maps, kinds = [], []
        for axes in FLIPS if tta else FLIPS[:1]:
            logits, kind = self._networks[0](np.flip(grid[None], axes))
            maps.append(np.flip(sigmoid(logits[:, 0]), axes)[0])
            kinds.append(softmax(np.float32(self.config.calibration.scale) * kind[0]))
        deviation = np.std(maps, axis=0) if tta else None
        return ProbabilityMap(np.mean(maps, axis=0), deviation, np.asarray(np.mean(kinds, axis=0), np.float32))

    def release(self) -> None:
        """Give back the memory that a volume took; the next one takes it again."""
        for network in self._networks:
            network.release()

    def _views(self, window: FloatImage, tta: bool) -> FloatImage:
        """Probabilities (N, V, S, S) of slices (N, S, S, 3) under one view, or four."""
        views = [np.flip(self._probability(np.flip(window, axes)), axes) for axes in (FLIPS if tta else FLIPS[:1])]
        return np.stack(views, axis=1)

    def _probability(self, window: FloatImage) -> FloatImage:
        maps = [sigmoid(network(window)[0][:, 0]) for network in self._networks]
        if len(maps) == 1:
            return maps[0]
        return np.asarray(np.average(maps, axis=0, weights=self._shares), np.float32)
