"""Whole volumes: every slice through both stages, stage 2 with the slices next to it, and the mask on the volume's own grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from resunet.artifacts import CleanUp
from resunet.data.scan import BoolMask
from resunet.data.transforms import FloatImage, fit_back, normalise, stretch, with_square_pixels
from resunet.data.volume import Volume
from resunet.errors import NoContrastError
from resunet.inference.framing import Window, window_of
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.postprocessing import to_mask

NEIGHBOUR_MM = 4.0  # distance of neighbouring slices in the training set, about
OnProgress = Callable[[int], None]  # slices done; an exception that it raises ends the work


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
        notes: sentences about what was done to the input.
    """

    volume: Volume
    probability: npt.NDArray[np.float16]
    p_tumour: FloatImage
    unlike_training: BoolMask
    gate: float
    threshold: float
    clean_up: CleanUp
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
                empty if p_tumour < self.gate else to_mask(plane.astype(np.float32), self.threshold, self.clean_up)
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
    stage_1, stage_2 = pipeline.stage_1, pipeline.stage_2
    slices, sides = volume.axial(), volume.axial_sides
    depth, height, width = slices.shape[:3]
    spacing = sides[1:] if sides else None
    window = window_of(slices[..., 1], spacing[0] / spacing[1] if spacing else 1.0)
    probability = np.zeros((depth, height, width), np.float16)
    p_tumour, unlike = np.full(depth, np.nan, np.float32), np.zeros(depth, bool)
    done = 0

    has_contrast = np.zeros(depth, bool)

    def prepared(numbers: range) -> Iterator[FloatImage]:
        """What the networks see of each slice; stage 1 judges it on the way."""
        for number in numbers:
            image = with_square_pixels(window.cut(normalise(slices[number])), spacing)
            has_contrast[number] = image.any()
            if stage_1 is not None and has_contrast[number]:
                judgement = stage_1(image)
                p_tumour[number], unlike[number] = judgement.p_tumour, judgement.unfamiliarity > 0
            yield image

    step = neighbour_step(sides[0] if sides else None)
    for first in range(min(step, depth)):
        numbers = range(first, depth, step)
        for number, output in zip(numbers, stage_2.volume(prepared(numbers), tta), strict=True):
            if has_contrast[number]:
                probability[number] = _put_back(output.mean, window, spacing, height, width)
            done += 1
            if on_progress is not None:
                on_progress(done)
    if not has_contrast.any():
        raise NoContrastError(f"{volume.name} holds nothing with contrast to judge; give one that shows tissue.")
    notes = list(volume.notes)
    if has_contrast.sum() < depth:
        notes.append(f"{depth - int(has_contrast.sum())} of {depth} slices have no contrast and were not judged.")
    if window != Window(0, height, 0, width):
        notes.append("The head is small in its frame: the networks saw a window about it.")
    return VolumePrediction(
        volume, probability, p_tumour, unlike, pipeline.gate, pipeline.threshold, pipeline.clean_up, tuple(notes)
    )


def neighbour_step(distance: float | None) -> int:
    """Every how many slices, `distance` millimetres apart, the next one is that stage 2 sees; 1 where that is not known."""
    return max(1, round(NEIGHBOUR_MM / distance)) if distance and distance > 0 else 1


def _put_back(plane: FloatImage, window: Window, spacing: tuple[float, float] | None, height: int, width: int) -> FloatImage:
    """A map of the networks' square on the slice (H, W) that they saw a window of."""
    rows, columns = window.bottom - window.top, window.right - window.left
    squared = with_square_pixels(np.zeros((rows, columns), np.float32), spacing).shape
    return window.put_back(stretch(fit_back(plane, *squared), rows, columns), height, width)
