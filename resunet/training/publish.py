"""From a run to the files others read: weights and config.json of the best epoch so far."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import resunet
from resunet.artifacts import REPOSITORY, ModelFolder
from resunet.data.slices import fingerprint
from resunet.data.sources import Parts, open_parts
from resunet.data.transforms import NORMALISATION
from resunet.files import atomic_files, file_sha256, save_tensors, write_json
from resunet.models import count_gflop, count_parameters
from resunet.training.recipes import Recipe
from resunet.training.state import disk_tensors

CHANNELS = ["pre-contrast", "FLAIR", "post-contrast"]


@dataclass(frozen=True)
class RunFacts:
    """Where a run's data came from and what it was computed with."""

    protocol: str
    data_fingerprint: str
    split_hash: str
    patients: dict[str, list[str]]
    slices: dict[str, int]

    @classmethod
    def collect(cls, data: str | Path | None, recipe: Recipe) -> tuple[RunFacts, Parts]:
        """Open the data and take its fingerprint (training and validation slices). Raises InputError."""
        parts = open_parts(data, recipe.protocol)
        used = {"train": parts.train, "val": parts.val}
        facts = cls(
            protocol=parts.protocol,
            data_fingerprint=fingerprint(parts.train + parts.val),
            split_hash=parts.split_hash,
            patients={part: sorted({record.patient for record in records}) for part, records in used.items()},
            slices={part: len(records) for part, records in used.items()},
        )
        return facts, parts


def publish_best(run: ModelFolder, model: nn.Module, recipe: Recipe, facts: RunFacts, row: dict[str, float]) -> None:
    """Write model.safetensors and config.json for the epoch of history row `row`."""
    with atomic_files(run.path) as path:
        new = ModelFolder(path)
        save_tensors(new.weights_path, disk_tensors(model))
        facts_of_run = _config(model, recipe, facts, row)
        write_json(new.config_path, {"name": run.name, **facts_of_run, "sha256": file_sha256(new.weights_path)})


def _config(model: nn.Module, recipe: Recipe, facts: RunFacts, row: dict[str, float]) -> dict[str, Any]:
    return {
        "architecture": recipe.architecture,
        "task": recipe.task,
        "input_size": recipe.input_size,
        "channels": CHANNELS,
        "preprocessing": NORMALISATION,
        "threshold": 0.5,
        "threshold_split": None,
        "postprocessing": {"min_area": 0, "largest_only": False},
        "best_epoch": int(row["epoch"]),
        "validation": {name: value for name, value in row.items() if name.startswith("val_")},
        "optimiser": "AdamW, cosine after linear warm-up, exponential moving average of the weights",
        "initialisation": "from ImageNet (encoder) and from scratch (decoder)" if recipe.imagenet else "from scratch",
        "recipe": recipe.describe(),
        "seed": recipe.seed,
        "protocol": facts.protocol,
        "data_fingerprint": facts.data_fingerprint,
        "split_hash": facts.split_hash,
        "patients": facts.patients,
        "slices": facts.slices,
        "parameters": count_parameters(model),
        "gflop": round(count_gflop(model, recipe.input_size), 4),
        "versions": {
            "resunet": resunet.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
        },
        "git_commit": _git_commit(),
        "licence": "CC BY-NC-SA 4.0 (weights; trained on the LGG MRI segmentation set)",
    }


def _git_commit() -> str | None:
    """The commit the working tree stands on, or None outside a repository."""
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
