"""Which slices an epoch draws, and how a draw becomes a training example. Everything follows from (seed, epoch, slot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resunet.data.augmentation import sample
from resunet.data.slices import SliceCache, neighbours
from resunet.training.augment import augment, shrunk
from resunet.training.lesion_copy_paste import FLAIR, brain_mask, feathered, paste_lesions
from resunet.training.recipes import Recipe

FRAME = 256  # side of the square frame on which slices are held, in pixels
STAYS_INSIDE = 0.8  # share of the examples of several slices that are moved to begin and end within the patient's slices


class Draw(NamedTuple):
    """Which slice, or which slices around one, goes into which place of which epoch."""

    position: int
    epoch: int
    slot: int


class Batch(NamedTuple):
    """images (B, C, S, S) float32, masks (B, 1, S, S) float32 in [0, 1], labels (B, 1) float32 in {0, 1}, classes (B,) int64.

    `labels` say whether a slice shows a tumour, `classes` of which kind it is (-1: not told).
    """

    images: Tensor
    masks: Tensor
    labels: Tensor
    classes: Tensor


def epoch_plan(
    has_tumour: npt.NDArray[np.bool_], without_tumour: npt.NDArray[np.bool_], recipe: Recipe, epoch: int
) -> list[Draw]:
    """The draws of one epoch, always of full length: each group by its share, dealt out evenly before any repeats.

    Groups are slices of people without a tumour, and of the rest those with a tumour and those without. What falls to a
    group that is empty goes to the others.

    Args:
        has_tumour: (N,) whether a slice shows a tumour.
        without_tumour: (N,) whether it is of a person who has none.
    """
    rng = np.random.default_rng([recipe.seed, epoch, 0])
    count = recipe.steps_per_epoch * recipe.examples_per_batch
    people = np.flatnonzero(without_tumour)
    tumours, empty = (np.flatnonzero(chosen & ~without_tumour) for chosen in (has_tumour, ~has_tumour))
    from_people = round(count * recipe.without_tumour_share) if len(people) else 0
    if not len(tumours) and not len(empty):
        from_people = count
    rest = count - from_people
    with_tumour = round(rest * recipe.tumour_share) if len(empty) else rest
    with_tumour = with_tumour if len(tumours) else 0
    chosen = np.concatenate(
        [
            _deal(tumours, with_tumour, rng),
            _deal(empty, rest - with_tumour, rng),
            _deal(people, from_people, rng),
        ]
    )
    return [Draw(int(position), epoch, slot) for slot, position in enumerate(rng.permutation(chosen))]


def _deal(pool: npt.NDArray[np.intp], count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """`count` members of `pool`, every member used n times before any is used n + 1 times."""
    if count == 0 or len(pool) == 0:
        return np.zeros(0, np.intp)
    rounds = -(-count // len(pool))
    return np.concatenate([rng.permutation(pool) for _ in range(rounds)])[:count]


class TrainingSlices:
    """The slices of a run on the device that trains, and augmented batches of them.

    The same draws give the same pixels on the same kind of device, before or after a resume.

    Args:
        cache: the training slices.
        device: where batches are made. The slices are kept there where they fit, else in the processor's memory.
    """

    def __init__(self, cache: SliceCache, recipe: Recipe, device: torch.device) -> None:
        self._recipe, self._device = recipe, device
        self._images, self._masks, self._classes = on_device(device, cache.images, cache.masks, cache.classes)
        runs = neighbours(cache.records) if recipe.slices_per_example > 1 else []
        start = 0
        self._runs: list[range] = []  # by position: the positions of the same patient's slices
        for run in runs:
            self._runs += [range(start, start + len(run))] * len(run)
            start += len(run)
        self._tumours = np.flatnonzero(cache.has_tumour)
        self._without_tumour = cache.without_tumour
        if recipe.augmentation.lesion_copy_paste:
            brains = np.stack([brain_mask(image) for image in cache.images])
            weights = np.stack([feathered(mask) for mask in cache.masks[self._tumours]]).astype(np.float16)
            self._brains, self._weights = on_device(device, brains, weights)

    def batch(self, draws: Sequence[Draw]) -> Batch:
        """The examples of one epoch's draws, in their order."""
        recipe = self._recipe
        phase = recipe.phase_of(draws[0].epoch)
        generators = [np.random.default_rng([recipe.seed, draw.epoch, 1, draw.slot]) for draw in draws]
        ranges = replace(recipe.augmentation, scale=phase.scale)
        parameters = [sample(ranges, rng) for rng in generators]
        positions = [draw.position for draw in draws]
        if recipe.slices_per_example > 1:
            positions = [
                place
                for position, rng in zip(positions, generators, strict=True)
                for place in slices_around(position, self._runs[position], recipe.slices_per_example, rng)
            ]
            # One geometry and one change of intensities, but every slice has noise of its own.
            parameters = [
                replace(each, seed=each.seed + place) for each in parameters for place in range(recipe.slices_per_example)
            ]
        images = self._pixels(positions)
        masks = self._planes(self._masks, positions)
        images, masks = self._with_lesions(images, masks, positions, generators)
        images, masks = augment(images, masks, parameters, phase.size if phase.crop else FRAME)
        labels = masks.flatten(1).amax(dim=1, keepdim=True)
        classes = self._classes[positions].to(self._device, non_blocking=True)
        return Batch(shrunk(images, phase.size), shrunk(masks, phase.size), labels, classes)

    def _with_lesions(
        self, images: Tensor, masks: Tensor, positions: list[int], generators: Sequence[np.random.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Some examples with a lesion of another slice; a person of whom FLAIR alone is known gets the lesion's FLAIR."""
        share = self._recipe.augmentation.lesion_copy_paste
        rows = [row for row, rng in enumerate(generators) if rng.random() < share]
        if not rows or not len(self._tumours):
            return images, masks
        donors = [int(generators[row].integers(len(self._tumours))) for row in rows]
        strength = torch.tensor([generators[row].uniform(0.5, 1.0) for row in rows], dtype=torch.float32)
        weights = self._planes(self._weights, donors) * strength.to(self._device, non_blocking=True)[:, None, None, None]
        brains = self._planes(self._brains, [positions[row] for row in rows])
        sources = self._tumours[donors].tolist()
        donor_images = self._pixels(sources)
        flair_alone = [i for i, row in enumerate(rows) if self._without_tumour[positions[row]]]
        donor_images[flair_alone] = donor_images[flair_alone, FLAIR : FLAIR + 1]
        pasted = paste_lesions(images[rows], masks[rows], brains, donor_images, self._planes(self._masks, sources), weights)
        images[rows], masks[rows] = pasted
        return images, masks

    def _pixels(self, positions: list[int]) -> Tensor:
        return self._images[positions].to(self._device, non_blocking=True).float().permute(0, 3, 1, 2)

    def _planes(self, planes: Tensor, positions: list[int]) -> Tensor:
        return planes[positions].to(self._device, non_blocking=True).float()[:, None]


def slices_around(position: int, run: range, length: int, rng: np.random.Generator) -> list[int]:
    """Positions of `length` neighbouring slices with `position` at a random place among them.

    Mostly within the patient's `run`; else, as where a run is too short, its first or last slice is repeated.
    """
    start = position - int(rng.integers(length))
    if rng.random() < STAYS_INSIDE:
        start = max(run.start, min(start, run.stop - length))
    return [min(max(place, run.start), run.stop - 1) for place in range(start, start + length)]


def on_device(device: torch.device, *arrays: npt.NDArray[Any]) -> list[Tensor]:
    """The arrays as tensors: on the device where twice as much is free there, else in the processor's memory, uncopied."""
    fits = device.type == "cuda" and 2 * sum(array.nbytes for array in arrays) < torch.cuda.mem_get_info(device)[0]
    return [torch.from_numpy(array).to(device if fits else "cpu") for array in arrays]
