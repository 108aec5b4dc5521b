"""From nothing to all of weights/: every run of the study, trained, tuned, measured and promoted in turn."""

from __future__ import annotations

from pathlib import Path

from resunet.artifacts import ModelFolder
from resunet.commands import evaluate_model, promote_run, tune_model
from resunet.ensemble import ENSEMBLE, write_ensemble
from resunet.errors import BusyError
from resunet.files import sole_writer
from resunet.hub import WEIGHTS
from resunet.training.loop import train
from resunet.training.recipes import ARCHITECTURES, PIPELINE, QUESTIONS, Recipe

SPLITS = ("val", "test")


def run_study(data: Path | None, runs: Path = Path("runs")) -> int:
    """Run what is missing and resume what was cut short; a promoted model with its evaluations is left alone.

    Several processes that do this at once divide the runs among themselves.
    """
    for recipe in (*PIPELINE, *ARCHITECTURES):
        _run_if_missing(recipe, data, runs)
    ensemble = ModelFolder(WEIGHTS / ENSEMBLE)
    if not is_complete(ensemble):
        write_ensemble(ensemble, data)
        _tune_and_measure(ensemble.path, data)
    for recipe in QUESTIONS:
        _run_if_missing(recipe, data, runs)
    return 0


def is_complete(folder: ModelFolder) -> bool:
    """Whether the folder holds an evaluation of every part that the study measures."""
    return all(folder.summary_path(split).exists() for split in SPLITS)


def _run_if_missing(recipe: Recipe, data: Path | None, runs: Path) -> None:
    if is_complete(ModelFolder(WEIGHTS / recipe.name)):
        print(f"{recipe.name}: complete in {WEIGHTS / recipe.name}")
        return
    try:
        run_one(recipe, data, runs / recipe.name)
    except BusyError:
        print(f"{recipe.name}: another process is at it")


def run_one(recipe: Recipe, data: Path | None, run: Path) -> None:
    """Train or resume one recipe, choose on validation, measure, and copy the folder to weights/.

    Raises:
        BusyError: another process is doing it.
    """
    with sole_writer(run, "study."):
        train(recipe, data, run, resume=True)
        _tune_and_measure(run, data)
        promote_run(run)


def _tune_and_measure(folder: Path, data: Path | None) -> None:
    tune_model(str(folder), data)
    for split in SPLITS:
        evaluate_model(str(folder), data, split)
