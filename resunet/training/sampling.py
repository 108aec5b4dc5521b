"""Which slices an epoch draws, and how a draw becomes a training example. Everything follows from (seed, epoch, slot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resunet.data.augmentation import apply, sample
from resunet.data.lesion_copy_paste import paste_lesion
from resunet.data.simulator import KINDS, simulate
from resunet.data.slices import LoadedSlice, SliceCache
from resunet.data.transforms import normalise, resize
from resunet.training.recipes import Recipe

FRAME = 256  # side of the square frame on which slices are held, in pixels
SIMULATED_SLICES = 240


class Draw(NamedTuple):
    """Which slice goes into which place of which epoch."""

    position: int
    epoch: int
    slot: int


class Batch(NamedTuple):
    """images (B, 3, S, S) float32, masks (B, 1, S, S) float32 in [0, 1], labels (B, 1) float32 in {0, 1}."""

    images: Tensor
    masks: Tensor
    labels: Tensor


def epoch_plan(has_tumour: npt.NDArray[np.bool_], simulated: int, recipe: Recipe, epoch: int) -> list[Draw]:
    """The draws of one epoch: tumour and empty slices by share, each group dealt out evenly before any repeats.

    Positions count through the real slices, then through `simulated` simulated ones.
    """
    rng = np.random.default_rng([recipe.seed, epoch, 0])
    count = recipe.steps_per_epoch * recipe.batch_size
    from_simulator = round(count * recipe.simulated_share) if simulated else 0
    with_tumour = round((count - from_simulator) * recipe.tumour_share)
    chosen = np.concatenate(
        [
            len(has_tumour) + _deal(np.arange(simulated), from_simulator, rng),
            _deal(np.flatnonzero(has_tumour), with_tumour, rng),
            _deal(np.flatnonzero(~has_tumour), count - from_simulator - with_tumour, rng),
        ]
    )
    return [Draw(int(position), epoch, slot) for slot, position in enumerate(rng.permutation(chosen))]


def _deal(pool: npt.NDArray[np.intp], count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """`count` members of `pool`, every member used n times before any is used n + 1 times."""
    if count == 0 or len(pool) == 0:
        return np.zeros(0, np.intp)
    rounds = -(-count // len(pool))
    return np.concatenate([rng.permutation(pool) for _ in range(rounds)])[:count]


def simulated_slices(recipe: Recipe) -> list[LoadedSlice]:
    """The simulated slices that a recipe mixes in, all kinds in equal number; empty when its share is 0."""
    if recipe.simulated_share == 0:
        return []
    kinds = list(KINDS)
    drawn = (simulate(kinds[index % len(kinds)], recipe.seed * 100_000 + index) for index in range(SIMULATED_SLICES))
    return [LoadedSlice(normalise(example.image), example.mask) for example in drawn]


class TrainingSet(Dataset[Batch]):
    """Augmented examples by Draw; the same draw gives the same pixels in any process, before or after a resume."""

    def __init__(self, cache: SliceCache, simulated: Sequence[LoadedSlice], recipe: Recipe) -> None:
        self._cache, self._simulated, self._recipe = cache, simulated, recipe
        self._tumours = np.flatnonzero(cache.has_tumour)

    def __getitem__(self, draw: Draw) -> Batch:  # type: ignore[override]
        recipe, phase = self._recipe, self._recipe.phase_of(draw.epoch)
        real = draw.position < len(self._cache)
        source = self._cache[draw.position] if real else self._simulated[draw.position - len(self._cache)]
        rng = np.random.default_rng([recipe.seed, draw.epoch, 1, draw.slot])
        parameters = sample(replace(recipe.augmentation, scale=phase.scale), rng)
        if rng.random() < recipe.augmentation.lesion_copy_paste:
            donor = self._cache[int(rng.choice(self._tumours))]
            source = LoadedSlice(*paste_lesion(*source, *donor, strength=float(rng.uniform(0.5, 1.0))))
        window = phase.size if phase.crop else FRAME
        image, mask = apply(parameters, source.image, source.mask, window)
        return to_tensors(image, mask, phase.size)


def to_tensors(image: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], size: int) -> Batch:
    """One example of side `size` without batch axis; the label says whether the mask holds a pixel."""
    label = torch.tensor([float(mask.any())])
    soft = resize(mask.astype(np.float32), size)
    return Batch(torch.from_numpy(resize(image, size)).permute(2, 0, 1), torch.from_numpy(soft)[None], label)


def collate(examples: Sequence[Batch]) -> Batch:
    """Stack examples; images in channels-last memory, which convolutions on CPUs and tensor cores prefer."""
    images, masks, labels = (torch.stack(tensors) for tensors in zip(*examples, strict=True))
    return Batch(images.contiguous(memory_format=torch.channels_last), masks, labels)
