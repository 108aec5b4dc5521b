"""The exponential moving average of a network's weights and statistics, which is what validation sees and disk gets."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """A copy of a model that follows it.

    The decay grows to its full value over the first updates, so that weights still near chance are soon forgotten. How many
    updates there were is the caller's to know: asking the device for it would make each step wait.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self._pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Follow the model by one step; `updates` counts those before."""
        decay = min(self.decay, (1 + updates) / (10 + updates)) if updates else 0.0
        averaged, current = ([pair[side] for pair in self._pairs if pair[0].is_floating_point()] for side in (0, 1))
        get_ema_multi_avg_fn(decay)(averaged, current, torch.tensor(updates))
        for average, tensor in self._pairs:
            if not average.is_floating_point():
                average.copy_(tensor)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
