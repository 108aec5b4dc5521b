"""The one door to the models: an image in, a Prediction of plain NumPy arrays out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from resunet.data.readers import check_size, checked
from resunet.data.transforms import FloatImage, fit_back, normalise
from resunet.errors import InputError
from resunet.hub import FLAGSHIP, STAGE_1, find_model
from resunet.postprocess import CleanUp, to_mask
from resunet.runtime import configure_threads
from resunet.stages import FRAME, ProbabilityMap, Stage1, Stage2


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

    @property
    def nbytes(self) -> int:
        """Bytes that its maps take."""
        return sum(plane.nbytes for plane in (self.probability, self.attention, self.uncertainty) if plane is not None)

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

    def __init__(self, stage_2: Stage2, stage_1: Stage1 | None) -> None:
        self.stage_1, self.stage_2 = stage_1, stage_2
        self.threshold, self.clean_up = stage_2.threshold, stage_2.clean_up
        self.gate = stage_2.gate if stage_1 else 0.0

    @classmethod
    def load(
        cls, segmenter: str | Path = FLAGSHIP, classifier: str | Path | None = STAGE_1, dtype: torch.dtype | None = None
    ) -> TumourPipeline:
        """Load both stages by model name or folder; `classifier` None leaves stage 1 out.

        Raises:
            InputError: a model is missing, damaged or of the wrong kind.
        """
        configure_threads()
        stage_1 = None if classifier is None else Stage1(find_model(classifier), dtype)
        return cls(Stage2(find_model(segmenter), dtype), stage_1)

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

    def predict_volume(self, slices: npt.NDArray[np.generic], tta: bool = False, batch: int = 8) -> Iterator[Prediction]:
        """Both stages on every slice of a volume (N, H, W, 3), `batch` at a time, as they are asked for. Raises InputError."""
        for start in range(0, len(slices), batch):
            yield from self.predict_batch(list(slices[start : start + batch]), tta=tta)

    def predict_batch(
        self, images: Sequence[npt.NDArray[np.generic]], segment_all: bool = False, tta: bool = False
    ) -> list[Prediction]:
        """`predict` for several slices at once; sizes may differ. Raises InputError."""
        clock = [time.perf_counter()]
        slices, notes = zip(*(_as_slice(image) for image in images), strict=True)
        normalised = [normalise(image) for image in slices]
        clock.append(time.perf_counter())
        p_tumour, attention = self._classify(normalised)
        clock.append(time.perf_counter())
        wanted = [index for index, p in enumerate(p_tumour) if segment_all or p >= self.gate]
        maps = dict(zip(wanted, self.stage_2([normalised[index] for index in wanted], tta), strict=True))
        clock.append(time.perf_counter())
        spent = [after - before for before, after in itertools.pairwise(clock)]
        seconds = {
            "prepare": spent[0] / len(slices),
            "stage_1": spent[1] / len(slices),
            "stage_2": spent[2] / max(1, len(wanted)),
        }
        return [
            self._prediction(p_tumour[index], attention[index], maps.get(index), image.shape, seconds, notes[index])
            for index, image in enumerate(slices)
        ]

    def _classify(self, images: list[FloatImage]) -> tuple[list[float], list[FloatImage]]:
        """Stage 1; without one everything passes."""
        if self.stage_1 is None:
            return [1.0] * len(images), [np.zeros((FRAME, FRAME), np.float32)] * len(images)
        return self.stage_1(images)

    def _prediction(
        self,
        p_tumour: float,
        attention: FloatImage,
        maps: ProbabilityMap | None,
        shape: tuple[int, ...],
        seconds: dict[str, float],
        notes: tuple[str, ...],
    ) -> Prediction:
        height, width = shape[:2]
        deviation = maps.deviation if maps else None
        return Prediction(
            p_tumour=p_tumour,
            gate=self.gate,
            threshold=self.threshold,
            clean_up=self.clean_up,
            probability=fit_back(maps.mean, height, width) if maps else None,
            attention=fit_back(attention, height, width),
            uncertainty=None if deviation is None else fit_back(deviation, height, width),
            seconds=seconds if maps else {name: value for name, value in seconds.items() if name != "stage_2"},
            notes=notes,
        )


def _as_slice(image: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], tuple[str, ...]]:
    """(H, W, 3) checked, and what was done to it."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3:
        raise InputError(f"The image has shape {image.shape}; a slice (H, W) or (H, W, 3) is expected.")
    check_size("The image", 1, *image.shape)
    scan = checked("The image", image[None])
    return scan.slices[0], scan.notes
