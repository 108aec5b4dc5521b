"""Several processes: joining the group that torchrun set up, statistics over the whole batch, gathering results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

T = TypeVar("T")


@contextmanager
def process_group() -> Iterator[None]:
    """Join the group that torchrun describes in the environment (gloo on CPUs, NCCL on GPUs); alone, do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def world() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def gather(rows: list[T]) -> list[T]:
    """The rows of all processes, by rank, on every process."""
    if world() == 1:
        return rows
    gathered: list[Any] = [None] * world()
    distributed.all_gather_object(gathered, rows)
    return [row for of_process in gathered for row in of_process]


def mean_over_processes(value: float) -> float:
    """Average of one number over the processes."""
    return sum(gather([value])) / world()


def wait_for_all() -> None:
    """Return when every process has got here."""
    if world() > 1:
        distributed.barrier()


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batch of all processes, so that n processes train what one would.

    torch's SyncBatchNorm does this on GPUs only; this one takes any backend with a differentiable sum.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W), normalised in training by mean and variance over the batches of all processes."""
        if not self.training or world() == 1:
            return super().forward(features)
        values = features.float()
        ones = torch.ones_like(values[:, :1])
        sums = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), ones.sum()[None]])
        sums = all_reduce(sums)
        total, squares, count = sums[: self.num_features], sums[self.num_features : -1], sums[-1]
        mean = total / count
        variance = squares / count - mean.square()
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(features.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum or 0.1
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def with_whole_batch_norm(module: nn.Module) -> nn.Module:
    """Turn every BatchNorm2d of `module` into WholeBatchNorm, in place, keeping its parameters."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = WholeBatchNorm
    return module
