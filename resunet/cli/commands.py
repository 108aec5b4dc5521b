"""What the subcommands do: files in, files and values out. Printing and exit statuses are `main`'s."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from resunet.catalogue import (
    FLAGSHIP,
    STAGE_1,
    STUDIES,
    VOLUME_MODEL,
    WEIGHTS,
    find_model,
    list_comparable,
    list_models,
    list_runs,
)
from resunet.cli.measuring import gate_model
from resunet.data.samples import load_volumes
from resunet.data.sources import data_set_of, open_splits
from resunet.errors import InputError
from resunet.evaluation import compare as comparison
from resunet.evaluation.cross_validation import CROSS_VALIDATED, cross_validation_table
from resunet.evaluation.error_breakdown import error_breakdown
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.fit_detector import fit_detector
from resunet.evaluation.tuning import calibrate_kinds, tune_stage_1, tune_stage_2
from resunet.examination import sort_examinations
from resunet.files import atomic_folder, write_csv, write_text
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.prepared import FOLDER as PREPARED
from resunet.inference.prepared import prepared_path, write_prepared
from resunet.inference.stages import Stage2
from resunet.inference.timing import measure_latency
from resunet.inference.volume_pipeline import predict_volume
from resunet.model_folder import CARD, CONFIG_FILE, GRAPH_FILE, WEIGHTS_FILE, ModelFolder
from resunet.reading.stored_file import StoredFile
from resunet.reports.model_card import model_card, renew_card
from resunet.reports.tables import document_tables, with_tables

CHECKPOINTS = "checkpoint.*"

# PyTorch is imported by those commands alone that train or export.


def tune(model: str, data: Path | None) -> dict[str, Any]:
    """Choose threshold, clean-up, gate and calibration on validation; returns what was written to config.json."""
    folder = find_model(model)
    config = folder.config()
    people = bool((config.recipe or {}).get("without_tumour_share"))
    splits = open_splits(data, config.split_scheme, data_set_of(config.data_set), people)
    records = splits.seen("val")
    if config.task == "classification" and config.classes:
        chosen = calibrate_kinds(folder, records)
    elif config.task == "classification":
        chosen = tune_stage_1(folder, records)
        fit_detector(folder, splits.train, splits.val)
    else:
        chosen = tune_stage_2(folder, gate_model(folder), records)
        if config.classes:
            chosen |= calibrate_kinds(folder, records)
    renew_card(folder)
    written = asdict(folder.config())
    return {name: written[name] for name in chosen}


def export(model: str) -> Path:
    """Write the graph of a model, or of a run, that has weights; returns its path."""
    from resunet.models.export import export_graph

    return export_graph(find_model(model))


def time_models(models: Sequence[str]) -> Iterator[str]:
    """Measure how long a slice takes each model, or each bundled one that outlines, and write it to config.json.

    Yields a line for each. Raises InputError.
    """
    for name in models or [name for name in list_models() if find_model(name).config().task == "segmentation"]:
        folder = find_model(name)
        if folder.config().task == "classification":
            raise InputError(f"{folder.config().display_name} is a classifier; only models that outline are timed.")
        latency = measure_latency(Stage2(folder))
        folder.write_config(replace(folder.config(), latency=latency))
        renew_card(folder)
        yield f"{name}: {latency.milliseconds:.1f} ms on {latency.processor}"


def promote(run: Path, to: Path | None = None) -> Path:
    """Copy a run to weights/, with its graph and a card; an ablation goes to weights/studies/, without its weights.

    The checkpoint stays behind. Returns the new folder.
    """
    source = ModelFolder(run)
    source.check(WEIGHTS_FILE)  # refuses a run whose weights are missing or damaged
    keeps_weights = source.config().keeps_weights
    target = to or (WEIGHTS if keeps_weights else WEIGHTS / STUDIES) / run.resolve().name
    left_behind = [CHECKPOINTS, ".*"] + ([] if keeps_weights else [WEIGHTS_FILE, GRAPH_FILE])
    with atomic_folder(target, CONFIG_FILE) as temporary:
        shutil.copytree(run, temporary, ignore=shutil.ignore_patterns(*left_behind), dirs_exist_ok=True)
        promoted = ModelFolder(temporary)
        if keeps_weights:
            export(str(temporary))
        else:
            promoted.write_config(replace(promoted.config(), sha256={}))
        write_text(promoted.path / CARD, model_card(promoted, target.name))
    return target


def renew_cards() -> int:
    """Write the card of every bundled model and ablation and the documents' tables again; returns how many cards."""
    folders = [find_model(name) for name in list_runs()]
    for folder in folders:
        write_text(folder.path / CARD, model_card(folder))
    for path, tables in document_tables().items():
        write_text(path, with_tables(path.read_text(encoding="utf-8"), tables))
    return len(folders)


def prepare() -> Iterator[str]:
    """Predict the bundled sample volumes with the volume model and keep that in its folder; yields a line for each."""
    folder, pipeline = find_model(VOLUME_MODEL), TumourPipeline.load(VOLUME_MODEL)
    shutil.rmtree(folder.path / PREPARED, ignore_errors=True)
    for name, files in load_volumes().items():
        (examination,) = sort_examinations([StoredFile.in_memory(file, content) for file, content in files.items()])
        path = prepared_path(folder, pipeline, examination.key)
        write_prepared(path, predict_volume(pipeline, examination.volume()))
        yield f"{name}: {path}"


def compare(evaluation: str, out: Path | None) -> dict[str, pd.DataFrame]:
    """Figures of every bundled model and ablation on one evaluation, and the paired tests, by name of the table.

    The tables are written as CSV into `out`, too.
    """
    folders = {name: find_model(name) for name in list_comparable()}
    stored = {name: Evaluation.stored(folder, evaluation) for name, folder in folders.items()}
    evaluations = {name: measured for name, measured in stored.items() if measured is not None}
    if not evaluations:
        raise InputError(
            f"No model in {WEIGHTS} has an evaluation '{evaluation}'; run resunet evaluate MODEL --split {evaluation}."
        )
    tables = {"metrics": comparison.metric_table({name: measured.summary for name, measured in evaluations.items()})}
    masks = {name: measured for name, measured in evaluations.items() if measured.segments}
    if FLAGSHIP in masks:
        held_out = folders[FLAGSHIP].config().held_out
        same = {name: masks[name].slices for name in masks if folders[name].config().held_out == held_out}
        tables["paired"] = comparison.paired_table(same, FLAGSHIP)
    breakdowns = {name: error_breakdown(measured.slices, measured.gate) for name, measured in masks.items()}
    tables["error_breakdown"] = pd.DataFrame(breakdowns).T.rename_axis("model").reset_index()
    if FLAGSHIP in masks and STAGE_1 in folders and masks[FLAGSHIP].slices["p_tumour"].notna().all():
        threshold = folders[STAGE_1].config().threshold
        tables["stage_1_against_masks"] = pd.DataFrame([comparison.stage_1_against_masks(masks[FLAGSHIP].slices, threshold)])
    if evaluation == CROSS_VALIDATED:
        tables["groups"] = cross_validation_table(masks)
    if out is not None:
        for name, table in tables.items():
            write_csv(out / f"{name}.csv", table)
    return tables
