"""Which share of a long list this process works on, where a launcher started several: torchrun or Slurm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from resunet.errors import InputError

T = TypeVar("T")
LAUNCHERS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))


class Shard(NamedTuple):
    """This process's number and how many there are."""

    rank: int = 0
    processes: int = 1

    @classmethod
    def of_launcher(cls) -> Shard:
        """As the launcher's environment says; one process alone where there is none. Raises InputError."""
        for rank, processes in LAUNCHERS:
            if processes in os.environ and rank in os.environ:
                try:
                    shard = cls(int(os.environ[rank]), int(os.environ[processes]))
                except ValueError:
                    raise InputError(f"{rank} and {processes} must be whole numbers, as torchrun and Slurm set them.") from None
                if not 0 <= shard.rank < shard.processes:
                    raise InputError(f"{rank} is {shard.rank}, which must be below {processes}, {shard.processes}.")
                return shard
        return cls()

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Every item whose turn it is, from this process's number on."""
        return items[self.rank :: self.processes]
