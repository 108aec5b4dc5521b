"""Everything a run needs to go on as if it had never stopped, in one safetensors file without pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from resunet.errors import InputError
from resunet.files import atomic_path


@dataclass
class Progress:
    """Where a run stands, and of which recipe and data. `step` counts within `epoch`; both name what comes next."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_score: float = float("-inf")
    best_epoch: int = -1
    recipe: dict[str, object] = field(default_factory=dict)
    data: str = ""

    def differences(self, other: Progress) -> list[str]:
        """The names of what two runs were told differently."""
        recipes = json.loads(json.dumps([self.recipe, other.recipe]))  # tuples are lists in a checkpoint
        names = [name for name in sorted({*recipes[0], *recipes[1]}) if recipes[0].get(name) != recipes[1].get(name)]
        return names if self.data == other.data else [*names, "data"]


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors (no pickle), atomically."""
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def save_checkpoint(path: Path, progress: Progress, model: nn.Module, average: nn.Module, optimiser: optim.Optimizer) -> None:
    """Write the state of a run; the old checkpoint survives until the new one is whole."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    save_tensors(path, tensors, {"progress": json.dumps(asdict(progress))})


def load_checkpoint(path: Path, begun: Progress, model: nn.Module, average: nn.Module, optimiser: optim.Optimizer) -> Progress:
    """Restore what `save_checkpoint` wrote into the given objects and return the progress.

    Args:
        begun: the run that goes on, as it starts.

    Raises:
        InputError: the file is damaged, or of a run with another recipe, another seed or other data.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        others = begun.differences(progress)
        if not others:
            model.load_state_dict(_under("model.", tensors))
            average.load_state_dict(_under("average.", tensors))
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"The checkpoint {path} cannot be resumed from ({error}); remove it to start again.") from error
    if others:
        raise InputError(f"{path} is of a run with other {', '.join(others)}; train elsewhere, or leave --resume out.")
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        index, key = name.split(".", 1)
        states.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    return progress


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def disk_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A model's tensors as stored: matrices and kernels in float16, the rest (biases, statistics) as they are."""
    state = module.state_dict()
    return {
        name: value.detach().cpu().to(torch.float16) if value.is_floating_point() and value.dim() > 1 else value.detach().cpu()
        for name, value in state.items()
    }
