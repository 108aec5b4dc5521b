"""`resunet evaluate`: a model measured on a split of a data set, or on whole volumes."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from resunet.catalogue import STAGE_1, find_model, list_models
from resunet.data import lgg, no_tumour
from resunet.data.description import DataSetDescription
from resunet.data.sources import data_set_of, find_slices, is_known_set
from resunet.data.splits import FOLDS
from resunet.errors import InputError
from resunet.evaluation.cross_validation import CROSS_VALIDATED, union
from resunet.evaluation.evaluation import EXTERNAL, NO_TUMOUR, NO_TUMOUR_VAL, POST_CONTRAST
from resunet.evaluation.measure import (
    Settings,
    measure_classification,
    measure_segmentation,
    settings_of,
    write_evaluation,
)
from resunet.evaluation.measure_shards import PARTS, Measure, Measured, measure_by_patient
from resunet.evaluation.volume_scores import measure_in_shards, write_cases
from resunet.examination import Examination, measurable_volumes, nifti_below
from resunet.inference.predict_files import Choices, load_pipeline
from resunet.inference.shards import Shard
from resunet.inference.stages import Stage1, Stage2
from resunet.model_folder import ModelConfig, ModelFolder
from resunet.reports.model_card import renew_card


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
    records, description = find_slices(data, split, config.split_scheme, data_set_of(config.data_set))
    name = _evaluation_name(config, description, split)
    if name == POST_CONTRAST:
        records = lgg.post_contrast_without_tumour(records)
    name = f"{name}_tta" if choices.tta else name
    out = out or folder.evaluation_folder(name)
    measure: Measure
    measured: Measured | None
    if config.task == "classification":
        classifier = Stage1(folder)
        settings = _chosen(Settings(name, classifier.threshold), choices)
        measure, key = partial(measure_classification, classifier), [config.sha256]
    else:
        stage_2, stage_1 = Stage2(folder), gate_model(folder)
        settings = _chosen(settings_of(name, stage_2, stage_1, choices.tta), choices)
        measure = partial(measure_segmentation, stage_2, stage_1, settings=settings)
        key = [config.sha256, stage_1.config.sha256 if stage_1 else {}]
    if Shard.of_launcher().processes == 1:
        measured = measure(records)
    elif (measured := measure_by_patient(measure, records, [*key, asdict(settings)], out)) is None:
        return {}, out  # another process has patients left, and writes the figures
    summary = write_evaluation(out, measured, folder.name, settings)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    if out.is_relative_to(folder.path):
        renew_card(folder)
    return summary, out


def _evaluation_name(config: ModelConfig, description: DataSetDescription, split: str) -> str:
    """What an evaluation is called: by its split on the model's own data, else by the set."""
    if description.name == config.data_set.name:
        return split
    if description.name == no_tumour.DESCRIPTION.name:
        return {"test": NO_TUMOUR, "val": NO_TUMOUR_VAL}.get(split, f"{NO_TUMOUR}_{split}")
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
    out = out or folder.evaluation_folder(CROSS_VALIDATED)
    summary = write_evaluation(out, slices, folder.name, Settings(CROSS_VALIDATED, math.nan))
    renew_card(folder)
    return summary, out


def gate_model(folder: ModelFolder) -> Stage1 | None:
    """Stage 1, where it was trained on the same data under the same split: then held-out slices are held out from both."""
    if STAGE_1 not in list_models():
        return None
    stage_1 = find_model(STAGE_1).config()
    config = folder.config()
    same = (stage_1.data_set.name, stage_1.split_scheme) == (config.data_set.name, config.split_scheme)
    return Stage1(find_model(STAGE_1)) if same else None
