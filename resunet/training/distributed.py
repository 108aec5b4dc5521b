"""Several processes: joining the group that torchrun set up, gathering results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import distributed

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
