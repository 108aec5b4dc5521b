"""Whole volumes: every slice through both stages, stage 2 with the slices next to it, and the mask on the volume's own grid."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from resunet.data.transforms import FloatImage, normalise
from resunet.errors import NoContrastError
from resunet.inference.framing import CUT, Framing
from resunet.inference.gate import is_below_gate
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.postprocessing import to_mask
from resunet.model_folder import CleanUp
from resunet.reading.scan import BoolMask
from resunet.reading.volume_scan import Volume

NEIGHBOUR_MM = 4.0  # distance of neighbouring slices in the training set, about
AHEAD = 4  # slices that are prepared while the networks are at others
T = TypeVar("T")
OnProgress = Callable[[int], object]  # slices done; an exception that it raises ends the work


@dataclass(frozen=True)
class VolumePrediction:
    """What the pipeline says about a volume of D axial slices of H x W pixels.

    Attributes:
        volume: the input.
        probability: (D, H, W) float16 in [0, 1]; 0 in slices without contrast.
        p_tumour: (D,) of stage 1; NaN without stage 1 and in slices without contrast.
        unlike_training: (D,) bool, slices unlike those of the training set.
        gate: p_tumour below which a slice counts as empty.
        threshold: pixels of at least this probability are tumour.
        clean_up: which components of a slice stay.
        stage_1_threshold: p_tumour from which stage 1 on its own says that a slice shows a tumour.
        notes: sentences about what was done to the input.
    """

    volume: Volume
    probability: npt.NDArray[np.float16]
    p_tumour: FloatImage
    unlike_training: BoolMask
    gate: float
    threshold: float
    clean_up: CleanUp
    stage_1_threshold: float = math.inf
    notes: tuple[str, ...] = field(default=())

    @property
    def mask(self) -> BoolMask:
        """(I, J, K) bool, on the volume's own grid."""
        return self.volume.from_axial(self.axial_mask)

    @property
    def axial_mask(self) -> BoolMask:
        """(D, H, W) bool."""
        planes = zip(self.probability, self.p_tumour, strict=True)
        empty = np.zeros(self.probability.shape[1:], bool)
        return np.stack(
            [
                empty
                if is_below_gate(p_tumour, self.gate)
                else to_mask(plane.astype(np.float32), self.threshold, self.clean_up)
                for plane, p_tumour in planes
            ]
        )

    def with_threshold(self, threshold: float) -> VolumePrediction:
        """The same probabilities under another threshold; no forward pass."""
        return replace(self, threshold=threshold)


def predict_volume(
    pipeline: TumourPipeline, volume: Volume, tta: bool = False, on_progress: OnProgress | None = None
) -> VolumePrediction:
    """Both stages on every slice of a volume (I, J, K, 3).

    Stage 2, where it sees neighbours, sees them at about the distance that it was trained with: of a volume of 1 mm every
    fourth, all of them in turn.

    Args:
        tta: average stage 2 over four flips.
        on_progress: called after each slice.

    Raises:
        NoContrastError: no slice shows anything that could be judged.
    """
    passes = _Passes(pipeline, volume)
    sides = volume.axial_sides
    depth = len(passes.slices)
    step = neighbour_step(sides[0] if sides else None)
    done = 0
    for start, stop in pairwise((0, *volume.gaps, depth)):
        for first in range(start, min(start + step, stop)):
            for _ in passes.run(range(first, stop, step), tta):
                done += 1
                if on_progress is not None:
                    on_progress(done)
    judged = int(passes.has_contrast.sum())
    if not judged:
        raise NoContrastError(f"{volume.name} holds nothing with contrast to judge; give one that shows tissue.")
    notes = list(pipeline.fitting(volume.notes))
    if judged < depth:
        notes.append(f"{depth - judged} of {depth} slices have no contrast and were not judged.")
    if passes.framing.is_cut:
        notes.append(CUT)
    return VolumePrediction(
        volume,
        passes.probability,
        passes.p_tumour,
        passes.unlike,
        pipeline.gate,
        pipeline.threshold,
        pipeline.clean_up,
        pipeline.stage_1_threshold,
        tuple(notes),
    )


class _Passes:
    """Forward passes over the axial slices of one volume, and what they gave so far; fields as of VolumePrediction."""

    def __init__(self, pipeline: TumourPipeline, volume: Volume) -> None:
        self._stage_1, self._stage_2 = pipeline.stage_1, pipeline.stage_2
        self.slices = volume.axial()
        sides = volume.axial_sides
        self.framing = Framing.of_slices(self.slices[..., 1], sides[1:] if sides else None)
        depth = len(self.slices)
        self.probability = np.zeros(self.slices.shape[:3], np.float16)
        self.p_tumour = np.full(depth, np.nan, np.float32)
        self.unlike = np.zeros(depth, bool)
        self.has_contrast = np.zeros(depth, bool)

    def run(self, numbers: range, tta: bool) -> Iterator[None]:
        """Both stages on neighbouring slices; yields after each."""
        outputs = self._stage_2.volume(self._judged(numbers), len(numbers), tta)
        for number, output in zip(numbers, outputs, strict=True):
            if self.has_contrast[number]:
                self.probability[number] = self.framing.put_back(output.mean)
            yield

    def _judged(self, numbers: range) -> Iterator[FloatImage]:
        """What the networks see of each slice, on its way past stage 1."""
        for number, image in zip(numbers, prefetched(self._prepared, numbers), strict=True):
            self.has_contrast[number] = image.any()
            if self._stage_1 is not None and self.has_contrast[number]:
                judgement = self._stage_1(image)
                self.p_tumour[number], self.unlike[number] = judgement.p_tumour, judgement.ood_score > 0
            yield image

    def _prepared(self, number: int) -> FloatImage:
        return self.framing.to_networks(normalise(self.slices[number]))


def prefetched(make: Callable[[int], T], numbers: Iterable[int]) -> Iterator[T]:
    """What `make` gives for each number, made in another thread while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[T]] = deque()
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def neighbour_step(distance: float | None) -> int:
    """Stride between the slices, `distance` mm apart, that stage 2 treats as neighbours; 1 where the distance is unknown."""
    return max(1, round(NEIGHBOUR_MM / distance)) if distance and distance > 0 else 1
