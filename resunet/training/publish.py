"""From a run to the files others read: weights and config.json of the best epoch so far."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import replace

import torch
from torch import nn

import resunet
from resunet.data.slices import fingerprint
from resunet.data.sources import Splits
from resunet.data.transforms import NORMALISATION
from resunet.files import atomic_files, file_sha256
from resunet.model_folder import REPOSITORY, WEIGHTS_FILE, ModelConfig, ModelFolder
from resunet.models import TELL_KINDS, build_model, context_of, count_gflop, count_parameters
from resunet.training.recipes import Recipe
from resunet.training.state import disk_tensors, save_tensors


def describe_run(name: str, recipe: Recipe, splits: Splits) -> ModelConfig:
    """What is known of a run before its first epoch; the data's fingerprint is of training and validation slices."""
    channels = len(splits.description.channels)
    classes = splits.description.classes if recipe.architecture in TELL_KINDS else ()
    model = build_model(recipe.architecture, channels, len(classes))
    used = {split: splits.seen(split) for split in ("train", "val")}
    return ModelConfig(
        name=name,
        display_name=recipe.display_name,
        architecture=recipe.architecture,
        task=recipe.task,
        input_size=recipe.input_size,
        context=context_of(recipe.architecture),
        data_set=splits.description,
        preprocessing=NORMALISATION,
        split_scheme=splits.scheme,
        classes=classes,
        data_fingerprint=fingerprint([*used["train"], *used["val"]]),
        split_hash=splits.split_hash,
        patients={split: tuple(sorted({record.patient for record in records})) for split, records in used.items()},
        slices={split: len(records) for split, records in used.items()},
        parameters=count_parameters(model),
        gflop=round(count_gflop(model, recipe.input_size, channels), 4),
        versions={"resunet": resunet.__version__, "python": platform.python_version(), "torch": torch.__version__},
        git_commit=_git_commit(),
        sha256={},
        recipe=recipe.describe(),
        optimiser="AdamW, cosine after linear warm-up, exponential moving average of the weights",
        initialisation=_initialisation(recipe),
    )


def _initialisation(recipe: Recipe) -> str:
    if recipe.start_from:
        return f"from the trained weights of {recipe.start_from}"
    if not recipe.imagenet:
        return "from scratch"
    if recipe.task == "classification":
        return "from ImageNet (all but the last layer)"
    return "from ImageNet (encoder) and from scratch (decoder)"


def publish_best(run: ModelFolder, model: nn.Module, config: ModelConfig, row: dict[str, float]) -> None:
    """Write model.safetensors and config.json for the epoch of history row `row`."""
    with atomic_files(run.path) as path:
        new = ModelFolder(path)
        save_tensors(new.path / WEIGHTS_FILE, disk_tensors(model))
        figures = {figure: value for figure, value in row.items() if figure.startswith("val_")}
        digests = {WEIGHTS_FILE: file_sha256(new.path / WEIGHTS_FILE)}
        new.write_config(replace(config, best_epoch=int(row["epoch"]), validation=figures, sha256=digests))


def _git_commit() -> str | None:
    """The commit the working tree stands on, or None outside a repository."""
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
