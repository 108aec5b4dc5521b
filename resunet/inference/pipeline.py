"""Both stages on one slice: an image in, a Prediction of plain NumPy arrays out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resunet.catalogue import FLAGSHIP, find_model
from resunet.data.transforms import FloatImage, has_light_background, normalise
from resunet.errors import InputError, NoContrastError
from resunet.inference.drawings import LEFT_OUT, without_drawings
from resunet.inference.framing import FRAME, Framing
from resunet.inference.gate import is_below_gate
from resunet.inference.postprocessing import to_mask
from resunet.inference.runtime import Precision
from resunet.inference.stages import Judgement, Stage1, Stage2
from resunet.model_folder import CleanUp
from resunet.reading.scan import ONE_CHANNEL, check_size, checked_scan

NO_STAGE_1 = Judgement(math.nan, np.zeros((FRAME, FRAME), np.float32), math.nan)
NO_CONTRAST = "The slice holds nothing with contrast to judge; give one that shows tissue."


@dataclass(frozen=True)
class Prediction:
    """What the pipeline says about one slice of H x W pixels.

    Attributes:
        p_tumour: stage 1's calibrated probability that the slice shows a tumour, in [0, 1]; NaN without stage 1.
        gate: below this p_tumour the slice is taken as empty.
        threshold: pixels of at least this probability are tumour.
        clean_up: which components stay.
        probability: (H, W) float32 in [0, 1], or None where the gate stopped the slice before stage 2.
        grad_cam: (H, W) float32 in [0, 1], stage 1's Grad-CAM scaled to its maximum; 0 without stage 1.
        uncertainty: (H, W) float32, standard deviation over test-time augmentations, or None.
        ood_score: above 0 for a picture unlike those that stage 1 was trained on, infinite on a light background, which
            none of those has; NaN where that cannot be said.
        stage_1_threshold: p_tumour from which stage 1 on its own says that the slice shows a tumour.
        kinds: calibrated probability of each kind of tumour, from a network that tells them; empty elsewhere.
        looked_at: the sequence that the networks know, where it is not FLAIR.
        seconds: time by step.
        notes: sentences about what was done to the input.
    """

    p_tumour: float
    gate: float
    threshold: float
    clean_up: CleanUp
    probability: FloatImage | None
    grad_cam: FloatImage
    uncertainty: FloatImage | None = None
    ood_score: float = math.nan
    stage_1_threshold: float = math.inf
    kinds: Mapping[str, float] = field(default_factory=dict)
    looked_at: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def gated(self) -> bool:
        """Whether stage 1 stopped this slice."""
        return bool(is_below_gate(self.p_tumour, self.gate))

    @property
    def is_unlike_training(self) -> bool:
        """Whether the slice looks like nothing that stage 1 was trained on; its verdict then means little."""
        return self.ood_score > 0

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(H, W) bool; all False where the gate stopped the slice."""
        if self.gated or self.probability is None:
            return np.zeros(self.grad_cam.shape, bool)
        return to_mask(self.probability, self.threshold, self.clean_up)

    @property
    def nbytes(self) -> int:
        """Bytes that its maps take."""
        return sum(plane.nbytes for plane in (self.probability, self.grad_cam, self.uncertainty) if plane is not None)

    def with_thresholds(self, threshold: float | None = None, gate: float | None = None) -> Prediction:
        """The same probabilities under another threshold or gate; no forward pass.

        Raises:
            InputError: the gate is lowered so that stage 2 is needed but was not run (`segment_all` runs it always).
        """
        moved = replace(
            self, threshold=self.threshold if threshold is None else threshold, gate=self.gate if gate is None else gate
        )
        if not moved.gated and moved.probability is None:
            raise InputError("Stage 2 was not run on this slice; predict it again with segment_all=True.")
        return moved


class TumourPipeline:
    """Stage 1 and stage 2 with their preprocessing. Thread-safe: forward passes take turns."""

    def __init__(self, stage_2: Stage2, stage_1: Stage1 | None) -> None:
        self.stage_1, self.stage_2 = stage_1, stage_2
        self.threshold, self.clean_up = stage_2.threshold, stage_2.clean_up
        self.gate = stage_2.gate or 0.0

    @classmethod
    def load(
        cls, segmenter: str | Path = FLAGSHIP, classifier: str | Path | None = None, precision: Precision | None = None
    ) -> TumourPipeline:
        """Load both stages by model name or folder.

        Args:
            classifier: by default the one that the segmenter's gate was chosen with; a segmenter without a gate runs alone.
            precision: number format of both stages; by default each one's own choice.

        Raises:
            InputError: a model is missing, damaged or of the wrong kind.
        """
        stage_2 = Stage2(find_model(segmenter), precision)
        name = classifier or (stage_2.config.gate.model if stage_2.config.gate else None)
        return cls(stage_2, Stage1(find_model(name), precision) if name else None)

    def save_memory(self) -> None:
        """`Stage1.save_memory`, where there is a stage 1."""
        if self.stage_1:
            self.stage_1.save_memory()

    @property
    def stage_1_threshold(self) -> float:
        """p_tumour from which stage 1 on its own says that there is a tumour; infinite without stage 1."""
        return self.stage_1.threshold if self.stage_1 else math.inf

    @property
    def looked_at(self) -> str:
        """The one sequence that the networks know, where it is not FLAIR; empty elsewhere."""
        known = self.stage_2.config.data_set
        return known.channels[0] if len(known.channels) == 1 and known.sequence not in ("", "flair") else ""

    def fitting(self, notes: Iterable[str]) -> tuple[str, ...]:
        """The notes on a file that mean something to networks of this number of channels."""
        return tuple(note for note in notes if not (self.looked_at and note == ONE_CHANNEL))

    def predict(
        self,
        image: npt.NDArray[np.generic],
        segment_all: bool = False,
        tta: bool = False,
        spacing: tuple[float, float] | None = None,
    ) -> Prediction:
        """Both stages on one slice.

        Args:
            image: (H, W) or (H, W, 1 or 3), real and finite, any range; channels pre-contrast, FLAIR, post-contrast.
            segment_all: run stage 2 even where the gate stops the slice, so that `with_thresholds` can lower the gate.
            tta: average stage 2 over four flips; their disagreement becomes the uncertainty map.
            spacing: millimetres between rows and between columns; where they differ, the networks see square pixels.

        Raises:
            InputError: the array is not a slice; NoContrastError where it shows nothing that could be judged.
        """
        started = time.perf_counter()
        image, seen, framing, notes = _prepared(image, spacing)
        prepared = time.perf_counter()
        judgement = self.stage_1(seen) if self.stage_1 else NO_STAGE_1
        classified = time.perf_counter()
        seconds = {"prepare": prepared - started, "stage_1": classified - prepared}
        probability = uncertainty = None
        kinds: dict[str, float] = {}
        if segment_all or not is_below_gate(judgement.p_tumour, self.gate):
            maps = self.stage_2(seen, tta)
            probability = framing.put_back(maps.mean)
            if maps.kinds is not None:
                kinds = dict(zip(self.stage_2.config.classes, maps.kinds.tolist(), strict=True))
            uncertainty = None if maps.deviation is None else framing.put_back(maps.deviation)
            seconds["stage_2"] = time.perf_counter() - classified
        return Prediction(
            p_tumour=judgement.p_tumour,
            gate=self.gate,
            threshold=self.threshold,
            clean_up=self.clean_up,
            probability=probability,
            grad_cam=framing.put_back(judgement.grad_cam),
            uncertainty=uncertainty,
            ood_score=math.inf if has_light_background(image) else judgement.ood_score,
            stage_1_threshold=self.stage_1_threshold,
            kinds=kinds,
            looked_at=self.looked_at,
            seconds=seconds,
            notes=self.fitting(notes),
        )

    def predict_slices(
        self, slices: npt.NDArray[np.generic], tta: bool = False, spacing: tuple[float, float] | None = None
    ) -> Iterator[Prediction | None]:
        """Both stages on every slice of a volume (N, H, W, 3), one by one as they are asked for.

        Slices above and below the head show nothing that could be judged and give None. Raises InputError.
        """
        for image in slices:
            try:
                yield self.predict(image, tta=tta, spacing=spacing)
            except NoContrastError:
                yield None


def _prepared(
    image: npt.NDArray[np.generic], spacing: tuple[float, float] | None
) -> tuple[npt.NDArray[np.generic], FloatImage, Framing, tuple[str, ...]]:
    """The slice (H, W, 3) without drawings, what the networks see of it, the way there, notes. Raises InputError."""
    image, notes = _as_slice(image)
    image, has_drawings = without_drawings(image)
    normalised = normalise(image)
    if not normalised.any():
        raise NoContrastError(NO_CONTRAST)
    framing = Framing.of_picture(image, spacing)
    return image, framing.to_networks(normalised), framing, (*notes, *([LEFT_OUT] if has_drawings else []), *framing.notes)


def _as_slice(image: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], tuple[str, ...]]:
    """(H, W, 3) checked, and what was done to it."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3:
        raise InputError(f"The image has shape {image.shape}; a slice (H, W) or (H, W, 3) is expected.")
    check_size("The image", 1, *image.shape)
    scan = checked_scan("The image", image[None])
    return scan.slices[0], scan.notes
