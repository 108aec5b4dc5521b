"""The exponential moving average of a network's weights and statistics, which is what validation sees and disk gets."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

TensorList = tuple[Tensor, ...] | list[Tensor]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of a model that follows it by `update_parameters`.

    The decay grows to its full value over the first updates, so that weights still near chance are soon forgotten.
    """

    def follow(averages: TensorList, current: TensorList, updates: Tensor | int) -> None:
        count = int(updates)
        get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))(averages, current, updates)

    average = AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
    average.module.eval().requires_grad_(False)
    return average
