"""The LGG study: every recipe of it trained, chosen on validation, measured and promoted to weights/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resunet.catalogue import STUDIES, WEIGHTS
from resunet.cli.commands import export, promote, tune
from resunet.cli.measuring import evaluate
from resunet.errors import BusyError
from resunet.files import sole_writer, write_text
from resunet.model_folder import CARD, ModelFolder
from resunet.reports.model_card import model_card
from resunet.training.ensemble import ENSEMBLE, MEMBERS, write_ensemble
from resunet.training.loop import train
from resunet.training.recipes import ABLATIONS, ARCHITECTURES, PIPELINE, Recipe

STUDY_SPLITS = ("val", "test")


def run_study(data: Path | None, runs: Path = Path("runs")) -> Iterator[str]:
    """Everything of LGG in weights/: run what is missing and resume what was cut short; gives a sentence for each run.

    A promoted model with its evaluations is left alone. Several processes that do this at once divide the runs among
    themselves.
    """
    for recipe in (*PIPELINE, *ARCHITECTURES):
        yield _run_if_missing(recipe, data, runs)
    if all(is_complete(ModelFolder(WEIGHTS / member)) for member in MEMBERS):
        ensemble = ModelFolder(WEIGHTS / ENSEMBLE)
        if not is_complete(ensemble):
            write_ensemble(ensemble, data)
            _tune_and_measure(ensemble.path, data)
            write_text(ensemble.path / CARD, model_card(ensemble))
        yield f"{ENSEMBLE}: complete in {ensemble.path}"
    else:
        yield f"{ENSEMBLE}: waits for its members, {' and '.join(MEMBERS)}, which another process trains"
    for recipe in ABLATIONS:
        yield _run_if_missing(recipe, data, runs)


def is_complete(folder: ModelFolder) -> bool:
    """Whether the folder holds an evaluation of every split that the study measures."""
    return set(STUDY_SPLITS) <= set(folder.evaluations())


def _run_if_missing(recipe: Recipe, data: Path | None, runs: Path) -> str:
    """Train or resume one recipe, choose on validation, measure, and promote."""
    promoted = ModelFolder((WEIGHTS if recipe.keep_weights else WEIGHTS / STUDIES) / recipe.name)
    if is_complete(promoted):
        return f"{recipe.name}: complete in {promoted.path}"
    run = runs / recipe.name
    try:
        with sole_writer(run, "study."):
            train(recipe, data, run, resume=True)
            export(str(run))
            _tune_and_measure(run, data)
            return f"{recipe.name}: now in {promote(run)}"
    except BusyError:
        return f"{recipe.name}: another process is training it"


def _tune_and_measure(folder: Path, data: Path | None) -> None:
    tune(str(folder), data)
    for split in STUDY_SPLITS:
        evaluate(str(folder), data, split)
