"""What the subcommands do: files in, files and values out. Printing and exit statuses are `cli`'s."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from resunet.catalogue import FLAGSHIP, STAGE_1, STUDIES, WEIGHTS, find_model, list_comparable, list_models, list_runs
from resunet.data import lgg, no_tumour
from resunet.data.description import DataSetDescription
from resunet.data.sources import data_set_of, find_slices, is_known_set, open_splits
from resunet.data.splits import FOLDS
from resunet.errors import InputError
from resunet.evaluation.cross_validation import CROSS_VALIDATED, cross_validation_table, union
from resunet.evaluation.error_breakdown import error_breakdown
from resunet.evaluation.evaluation import EXTERNAL, NO_TUMOUR, Evaluation
from resunet.evaluation.fit_detector import fit_detector
from resunet.evaluation.measure import (
    Measurements,
    Settings,
    measure_classification,
    measure_segmentation,
    settings_of,
    write_evaluation,
)
from resunet.evaluation.tuning import calibrate_kinds, tune_stage_1, tune_stage_2
from resunet.evaluation.volume_scores import measure_in_shards, write_cases
from resunet.examination import Examination, measurable_volumes, nifti_below
from resunet.files import atomic_folder, write_csv, write_text
from resunet.inference.predict_files import Choices, load_pipeline
from resunet.inference.stages import Stage1, Stage2
from resunet.inference.timing import measure_latency
from resunet.model_folder import CARD, CONFIG_FILE, GRAPH_FILE, WEIGHTS_FILE, ModelConfig, ModelFolder
from resunet.reports.model_card import model_card
from resunet.shards import Shard

CHECKPOINTS = "checkpoint.*"
POST_CONTRAST = "post_contrast"  # of slices of LGG without a tumour, by a network that knows contrast-enhanced T1

# PyTorch is imported by those commands alone that train or export.


def evaluate(
    model: str, data: Path | None, split: str, out: Path | None = None, choices: Choices | None = None
) -> tuple[dict[str, Any], Path]:
    """Measure a model on a split of the data and write the evaluation; returns its summary and its folder.

    Raises:
        InputError: no such model or slices; or another threshold or gate than the model's without `out`, which would
            replace the model's own evaluation.
    """
    choices = choices or Choices()
    folder = find_model(model)
    if split == CROSS_VALIDATED:
        return _cross_validate(folder, out)
    config = folder.config()
    if out is None and (choices.threshold, choices.gate) != (None, None):
        raise InputError("Another threshold or gate than the model's own needs a folder of its own; add --out DIR.")
    if choices != Choices(choices.threshold) and config.task == "classification":
        raise InputError(f"{config.display_name} is a classifier, which has neither a gate nor flips; leave them out.")
    if split == "all" and data is not None and not is_known_set(data):
        examinations, notes = measurable_volumes(nifti_below(data))
        if examinations:
            return _evaluate_volumes(folder, examinations, notes, out, choices)
    if Shard.of_launcher().processes > 1:
        raise InputError("Slices are evaluated by one process, which uses all cores; run it without torchrun or srun.")
    records, description = find_slices(data, split, config.split_scheme, data_set_of(config.data_set))
    name = _evaluation_name(config, description, split)
    if name == POST_CONTRAST:
        records = lgg.post_contrast_without_tumour(records)
    name = f"{name}_tta" if choices.tta else name
    out = out or folder.path / "evaluation" / name
    measured: pd.DataFrame | Measurements
    if config.task == "classification":
        stage_1 = Stage1(folder)
        settings = _chosen(Settings(name, stage_1.threshold), choices)
        measured = measure_classification(stage_1, records)
    else:
        stage_2 = Stage2(folder)
        gate_model = _gate_model(folder)
        settings = _chosen(settings_of(name, stage_2, gate_model, choices.tta), choices)
        measured = measure_segmentation(stage_2, gate_model, records, settings)
    summary = write_evaluation(out, measured, folder.name, settings)
    if out.is_relative_to(folder.path):
        _renew_card(folder)
    return summary, out


def _evaluation_name(config: ModelConfig, description: DataSetDescription, split: str) -> str:
    """What an evaluation is called: by its split on the model's own data, else by the set."""
    if description.name == config.data_set.name:
        return split
    if description.name == no_tumour.DESCRIPTION.name:
        return NO_TUMOUR if split == "test" else f"{NO_TUMOUR}_{split}"
    return POST_CONTRAST if config.channels == 1 and description.name == lgg.DESCRIPTION.name else EXTERNAL


def _evaluate_volumes(
    folder: ModelFolder, cases: list[Examination], notes: list[str], out: Path | None, choices: Choices
) -> tuple[dict[str, Any], Path]:
    """Whole volumes through both stages; returns the summary and its folder. Raises InputError."""
    if folder.config().task == "classification":
        raise InputError(f"{folder.config().display_name} is a classifier; whole volumes are evaluated by their outlines.")
    if out is None:
        raise InputError("The data are whole volumes, whose figures need a folder of their own; add --out DIR.")
    pipeline = load_pipeline(str(folder.path), choices)
    with tqdm(total=len(cases), desc="evaluate", unit="volume") as bar:
        measured = measure_in_shards(pipeline, cases, out, choices.tta, lambda done, _: bar.update(max(0, done - bar.n)))
    if measured is None:
        return {}, out  # another process has cases left, and writes the figures
    return write_cases(out, measured, notes, pipeline, folder.name), out


def _chosen(settings: Settings, choices: Choices) -> Settings:
    """The settings with what was chosen otherwise; where there is no stage 1, there is no gate to move."""
    gate = settings.gate if choices.gate is None or settings.gate is None else choices.gate
    return replace(settings, threshold=settings.threshold if choices.threshold is None else choices.threshold, gate=gate)


def _cross_validate(folder: ModelFolder, out: Path | None) -> tuple[dict[str, Any], Path]:
    """Write the union of the test splits of a model's folds as an evaluation of its own. Raises InputError."""
    slices = union([find_model(f"{folder.name}_fold{number}") for number in range(FOLDS)])
    out = out or folder.path / "evaluation" / CROSS_VALIDATED
    summary = write_evaluation(out, slices, folder.name, Settings(CROSS_VALIDATED, math.nan))
    _renew_card(folder)
    return summary, out


def _gate_model(folder: ModelFolder) -> Stage1 | None:
    """Stage 1, where it was trained on the same data under the same split: then held-out slices are held out from both."""
    if STAGE_1 not in list_models():
        return None
    stage_1 = find_model(STAGE_1).config()
    config = folder.config()
    same = (stage_1.data_set.name, stage_1.split_scheme) == (config.data_set.name, config.split_scheme)
    return Stage1(find_model(STAGE_1)) if same else None


def _renew_card(folder: ModelFolder) -> None:
    """Let the card of a promoted model say what its files say now."""
    if (folder.path / CARD).exists():
        write_text(folder.path / CARD, model_card(folder))


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
        chosen = tune_stage_2(folder, _gate_model(folder), records)
        if config.classes:
            chosen |= calibrate_kinds(folder, records)
    _renew_card(folder)
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
        _renew_card(folder)
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
    from resunet.reports.tables import document_tables, with_tables  # statsmodels takes seconds to import

    folders = [find_model(name) for name in list_runs()]
    for folder in folders:
        write_text(folder.path / CARD, model_card(folder))
    for path, tables in document_tables().items():
        write_text(path, with_tables(path.read_text(encoding="utf-8"), tables))
    return len(folders)


def compare(evaluation: str, out: Path | None) -> dict[str, pd.DataFrame]:
    """Figures of every bundled model and ablation on one evaluation, and the paired tests, by name of the table.

    The tables are written as CSV into `out`, too.
    """
    from resunet.evaluation import compare as comparison  # statsmodels takes seconds to import

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
