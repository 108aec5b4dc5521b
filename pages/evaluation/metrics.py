"""Metrics: one model on one part of the data, under every aggregation, and what threshold and gate do to it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.common import loaders, own, picks
from pages.common.cards import figure_card
from pages.common.chart import chart
from pages.common.messages import show_error
from pages.common.once import once
from pages.common.parts import show_parts
from pages.common.picks import Evaluation
from resunet.charts import metrics as charts
from resunet.charts.export import safe_csv
from resunet.errors import InputError
from resunet.evaluation.aggregate import gate_slices, summarise_classification, summarise_segmentation
from resunet.evaluation.budget import error_budget
from resunet.evaluation.rules import LABELS
from resunet.evaluation.sweep import THRESHOLDS

SEGMENTATION = (
    "volume_dice_mean",
    "volume_dice_median",
    "tumour_slice_dice",
    "pooled_dice",
    "recall",
    "precision",
    "empty_slice_fp_rate",
    "hd95_px",
)
CLASSIFICATION = ("accuracy", "sensitivity", "specificity", "precision", "f1", "auroc", "auprc", "ece")
CLICKABLE = "A click on a point opens the slice; a patient's point opens its worst one."
STAGE_1_TITLES = {
    "confusion": "Confusion matrix",
    "reliability": "Reliability: are the probabilities right?",
    "roc": "ROC curve",
    "precision_recall": "Precision and recall",
}


def headlines(figures: dict[str, Any], wanted: Sequence[str], evaluation: Evaluation, changed: str) -> None:
    """Eight cards, four a row."""
    split = "all" if evaluation.protocol == own.PROTOCOL else evaluation.protocol.removesuffix("_tta")
    command = f"resunet evaluate {evaluation.model} --data DIR --split {split}{changed}"
    names = [name for name in wanted if name in figures]
    for start in range(0, len(names), 4):
        for column, name in zip(st.columns(4), names[start : start + 4], strict=False):
            with column:
                figure_card(LABELS[name], name, figures[name], command)


def explorer(evaluation: Evaluation) -> tuple[pd.DataFrame, float | None, str]:
    """Threshold and gate; returns the slices at that threshold, the gate, and the options that re-derive them."""
    start, gate = float(evaluation.summary["threshold"]), evaluation.summary["gate"]
    left, right = st.columns(2)
    swept = loaders.slices_at(evaluation.model, evaluation.protocol, THRESHOLDS[9]) is not None
    threshold = left.select_slider(
        "Threshold", THRESHOLDS, start, key="explore_threshold", disabled=not swept, help=f"Chosen on validation: {start}"
    )
    slices, options = evaluation.slices, ""
    if swept and threshold != start:
        found = loaders.slices_at(evaluation.model, evaluation.protocol, float(threshold))
        slices, options = slices if found is None else found, f" --threshold {threshold}"
    if gate is None:
        right.caption("No gate: stage 1 was not run beside this evaluation.")
        return slices, None, options
    moved = right.slider("Gate", 0.0, 1.0, float(gate), 0.01, key="explore_gate", help=f"Chosen on validation: {gate}")
    return slices, moved, options + (f" --gate {moved}" if moved != gate else "")


def plot(figure: Any, key: str, title: str, evaluation: Evaluation) -> None:
    """A chart whose points open their cases when clicked."""
    picks.follow_click(chart(figure, key, title, selectable=True), key, evaluation.model, evaluation.protocol)


def averages(evaluation: Evaluation, slices: pd.DataFrame, figures: dict[str, Any]) -> None:
    """What the way of averaging does, and what any average hides."""
    first, second = st.columns(2)
    with first:
        figure = once(evaluation.protocol, charts.aggregations, slices, figures)
        chart(figure, "aggregations", "The same masks, four ways to average")
    with second:
        place = st.container()  # the control stands below its chart, so that the charts of a row begin together
        groups = once(evaluation.protocol, loaders.patient_groups, tuple(sorted(slices["patient"].unique())))
        by = st.segmented_control("Grouped", ["All", *groups], default="All", required=True, key="grouped")
        figure = once(evaluation.protocol, charts.distribution, slices, groups.get(str(by)), None if by == "All" else str(by))
        with place:
            plot(figure, "distribution", "Every patient and every tumour slice", evaluation)
    st.caption(CLICKABLE)


def sizes(evaluation: Evaluation, slices: pd.DataFrame) -> None:
    """Dice against the size of the tumour."""
    first, second = st.columns(2)
    with first:
        plot(once(evaluation.protocol, charts.patient_dice, slices), "patients", "Patients by tumour size", evaluation)
    with second:
        plot(once(evaluation.protocol, charts.slice_dice, slices), "slices", "Slices by tumour size", evaluation)
    st.caption(CLICKABLE)


def budget(evaluation: Evaluation, slices: pd.DataFrame, gate: float | None) -> None:
    """What each stage loses and invents, in pixels."""
    figure = once(evaluation.protocol, charts.budget, once(evaluation.protocol, error_budget, slices, gate))
    chart(figure, "budget", "Where the two stages lose and invent pixels")


@st.fragment
def segmentation(evaluation: Evaluation) -> None:
    """Everything about a segmentation model."""
    slices, gate, options = explorer(evaluation)
    kept = picks.filter_bar(slices, evaluation.protocol)
    if kept.empty:
        return
    final = kept if gate is None else once(evaluation.protocol, gate_slices, kept, gate)
    st.caption("The two stages together: slices under the gate count as empty." if gate is not None else "Stage 2 alone.")
    figures = once(evaluation.protocol, summarise_segmentation, final)
    headlines(figures, SEGMENTATION, evaluation, options)
    show_parts(
        {
            "Averages": lambda: averages(evaluation, final, figures),
            "Tumour size": lambda: sizes(evaluation, final),
            "Error budget": lambda: budget(evaluation, kept, gate),
        }
    )
    st.download_button("These slices as CSV", lambda: safe_csv(final), "slices.csv", "text/csv", on_click="ignore")


@st.fragment
def classification(evaluation: Evaluation) -> None:
    """Everything about a classifier."""
    from resunet.charts import stage_1 as stage_1_charts  # scikit-learn takes 58 MB, and most visitors look at masks

    start = float(evaluation.summary["threshold"])
    threshold = st.slider("Threshold", 0.01, 0.99, start, 0.01, key="stage_1_threshold", help=f"Chosen on validation: {start}")
    options = f" --threshold {threshold}" if threshold != start else ""
    headlines(
        once(evaluation.protocol, summarise_classification, evaluation.slices, threshold), CLASSIFICATION, evaluation, options
    )
    slices = evaluation.slices
    for row in (("confusion", "reliability"), ("roc", "precision_recall")):
        for column, name in zip(st.columns(2), row, strict=True):
            with column:
                build = getattr(stage_1_charts, name)
                arguments = (slices,) if name == "reliability" else (slices, threshold)
                chart(once(evaluation.protocol, build, *arguments), name, STAGE_1_TITLES[name])


st.title("Metrics", anchor=False)
try:
    chosen = picks.choose_evaluation()
    if chosen is not None:
        (segmentation if chosen.segments else classification)(chosen)
except InputError as error:
    show_error(error)
