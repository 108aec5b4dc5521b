"""The evaluations that screens show: stored in model folders, and of a visitor's own data, which last as long as the visit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import streamlit as st

from pages.common import loaders, models
from resunet.data.slices import Slice
from resunet.errors import InputError
from resunet.evaluation.cross_validation import CROSS_VALIDATED
from resunet.evaluation.evaluation import EXTERNAL, NO_TUMOUR, NO_TUMOUR_VAL, POST_CONTRAST, UPLOADED, Evaluation
from resunet.evaluation.measure import measure_segmentation, settings_of, summarise
from resunet.model_folder import SUMMARY, ModelConfig, ModelFolder

KEPT_EVALUATIONS = 128
SESSION_KEY = "uploaded_evaluations"
SAMPLES_SET = "samples"
MAIN_SETS = (CROSS_VALIDATED, "test", EXTERNAL)
NAMES = {  # in the order in which they are offered; every screen begins with the first that its model has
    CROSS_VALIDATED: "Cross-validated",
    "test": "Test",
    EXTERNAL: "External slices",
    "test_tta": "Test, with test-time augmentation",
    "val": "Validation",
    "val_tta": "Validation, with test-time augmentation",
    "buda10": "The ten test patients with a published Dice",
    "buda10_tta": "The ten, with test-time augmentation",
    NO_TUMOUR: "People without a tumour, test",
    NO_TUMOUR_VAL: "People without a tumour, validation",
    POST_CONTRAST: "Post-contrast slices without a tumour",
    SAMPLES_SET: "Simulated samples",
    UPLOADED: "Your own data, this visit",
}
MEASURED_BY = {  # data and split of the command, where the name does not say them
    CROSS_VALIDATED: "--split cross_validated",
    EXTERNAL: "--data DIR --split all",
    UPLOADED: "--data DIR --split all",
    NO_TUMOUR: "--data NO_TUMOUR_DIR --split test",
    NO_TUMOUR_VAL: "--data NO_TUMOUR_DIR --split val",
    POST_CONTRAST: "--data LGG_DIR --split all",
}


def name_of(evaluation: str) -> str:
    """What people read for the name of an evaluation."""
    return NAMES.get(evaluation, evaluation)


def label_of(model: str, evaluation: str) -> str:
    """Its name with the number of patients."""
    if evaluation in (UPLOADED, SAMPLES_SET):
        return name_of(evaluation)
    summary = loaders.summary(loaders.folder_of(model), evaluation)
    return f"{name_of(evaluation)}, {summary['n_patients']} patients" if summary else name_of(evaluation)


def command(model: str, evaluation: str, options: str = "") -> str:
    """The command that gives an evaluation again."""
    name = evaluation.removesuffix("_tta")
    options += " --tta" if evaluation != name else ""
    return f"resunet evaluate {model} {MEASURED_BY.get(name, f'--data DIR --split {name}')}{options}"


def in_order(evaluations: Iterable[str]) -> list[str]:
    """Names of evaluations, the main sets first."""
    known = list(NAMES)
    return sorted(evaluations, key=lambda name: (known.index(name) if name in known else len(known), name))


def find(model: str, name: str) -> Evaluation | None:
    """One evaluation of a model, or None where there is none. Raises InputError when its files are damaged."""
    if name == UPLOADED:
        return uploaded().get(model)
    try:
        folder = loaders.folder_of(model)
    except InputError:
        return None
    return _stored(str(folder.path), name, loaders.stamp(folder.evaluation_path(name, SUMMARY)))


@st.cache_resource(max_entries=KEPT_EVALUATIONS, show_spinner=False)
def _stored(folder: str, name: str, changed: float) -> Evaluation | None:
    return Evaluation.stored(ModelFolder(Path(folder)), name)


def names(model: str) -> list[str]:
    """Names of a model's evaluations in order, this visitor's own among them. Raises InputError."""
    stored = loaders.models()[model].evaluations if model in loaders.models() else loaders.folder_of(model).evaluations()
    return in_order([*stored, *([UPLOADED] if model in uploaded() else [])])


def measured_runs(task: str | None = None) -> dict[str, ModelConfig]:
    """Configurations of the models and ablations with at least one evaluation, the flagship first."""
    mine = uploaded()
    return {
        name: entry.config
        for name, entry in loaders.models().items()
        if task in (None, entry.config.task) and (entry.evaluations or name in mine)
    }


def compared_models(with_ablations: bool = False) -> list[str]:
    """Measured segmentation models from which the same slices were held out as from the first, the flagship if it is here."""
    runs = measured_runs("segmentation")
    held_out = [config.held_out for config in runs.values()][:1]
    return [name for name, config in runs.items() if config.held_out in held_out and (with_ablations or config.keeps_weights)]


def of_all(models: list[str], name: str) -> dict[str, Evaluation]:
    """One evaluation of each model that has it."""
    measured = {model: find(model, name) for model in models}
    return {model: evaluation for model, evaluation in measured.items() if evaluation is not None}


def measure(
    model: str, key: tuple[str, ...], records: Sequence[Slice], on_progress: Callable[[int], None] | None = None
) -> Evaluation:
    """A model, with stage 1 where it was tuned with it, on slices that are here; `key` begins with the name of their set."""
    pipeline = models.pipeline_of(model)
    settings = settings_of(key[0], pipeline.stage_2, pipeline.stage_1)
    measured = measure_segmentation(pipeline.stage_2, pipeline.stage_1, records, settings, on_progress)
    summary, name = summarise(measured.slices, model, settings), pipeline.stage_2.config.display_name
    return Evaluation(model, name, key[0], key, summary, measured.slices, measured=measured, records=records)


def uploaded() -> dict[str, Evaluation]:
    """This visitor's evaluations of their own data, by model."""
    kept: dict[str, Evaluation] = st.session_state.get(SESSION_KEY, {})
    return kept


def keep(evaluation: Evaluation) -> None:
    """Remember an evaluation until the visit ends; a newer one of the same model takes its place."""
    kept = st.session_state.setdefault(SESSION_KEY, {})
    kept.pop(evaluation.model, None)  # the latest comes last
    kept[evaluation.model] = evaluation


def forget() -> None:
    """Drop this visitor's evaluations."""
    st.session_state.pop(SESSION_KEY, None)
