"""Metrics: one model on one evaluation, under every aggregation, and what threshold and gate do to it."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.common import loaders
from pages.common.chart import chart
from pages.common.dashboards import evaluations, selection
from pages.common.dashboards.caching import computed, of_slices
from pages.common.dashboards.metric_cards import metric_card
from pages.common.dashboards.tabs import show_tabs
from pages.common.downloads import download
from pages.common.messages import show_error
from resunet.catalogue import FLAGSHIP
from resunet.charts import kind_charts, stage_1
from resunet.charts import metric_charts as charts
from resunet.charts.chart_files import safe_csv
from resunet.charts.patient_wall import patient_wall, size_quarters, wall_title
from resunet.data import lgg
from resunet.errors import InputError
from resunet.evaluation.aggregate import figures_at, summarise_segmentation
from resunet.evaluation.cross_validation import REPORTED_READERS
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.error_breakdown import error_breakdown
from resunet.evaluation.evaluation import EXTERNAL, UPLOADED, Evaluation
from resunet.evaluation.kinds import tells_kinds
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
KINDS = ("kind_accuracy", "kind_patient_accuracy", "kind_sensitivity_mean", "kind_ece")
BOTH_STAGES = ", both stages"
CLICKABLE = "A click on a point opens the slice; a patient's point opens its worst one."
STAGE_1_TITLES = {
    "confusion": "Confusion matrix",
    "reliability": "Reliability: are the probabilities right?",
    "roc": "ROC curve",
    "precision_recall": "Precision and recall",
}


def headlines(figures: dict[str, Any], wanted: Sequence[str], how: str, suffix: str = "") -> None:
    """A card for each figure, four in a row.

    Args:
        how: a sentence on how to take the same figures again.
        suffix: what tells these figures from others of the same name.
    """
    names = [name for name in wanted if name in figures]
    for start in range(0, len(names), 4):
        for column, name in zip(st.columns(4), names[start : start + 4], strict=False):
            with column:
                metric_card(LABELS[name] + suffix, name, figures[name], how)


def rederived(evaluation: Evaluation, options: str, is_part: bool = False) -> str:
    """How to take figures again; `options` are what the command needs for another threshold or gate."""
    command = evaluations.command(evaluation.model, evaluation.name, options and f"{options} --out DIR")
    return f"Of the slices chosen above alone; the command gives all of them: {command}" if is_part else f"Re-derive: {command}"


def start_sliders(evaluation: Evaluation, **values: float) -> None:
    """Let sliders begin at what validation chose, again whenever another evaluation is shown."""
    if st.session_state.get("explored") != evaluation.key or not values.keys() <= set(st.session_state):
        st.session_state.update(explored=evaluation.key, **values)


def explorer(evaluation: Evaluation) -> tuple[Evaluation, float | None, str]:
    """Threshold and gate; returns the evaluation at that threshold, the gate, and the options that re-derive them."""
    if evaluation.threshold is None:
        st.caption(
            "Each fold's network has the threshold that its own validation patients chose; stage 1 was not run. "
            "Choose Test to move threshold and gate."
        )
        return evaluation, None, ""
    start, left, right, options = evaluation.threshold, *st.columns(2), ""
    has_sweep = evaluation.sweep() is not None
    note = f"Chosen on validation: {start}"
    start_sliders(evaluation, explore_threshold=start, explore_gate=float(evaluation.gate or 0))
    threshold = left.select_slider(
        "Threshold", sorted({*THRESHOLDS, start}), key="explore_threshold", disabled=not has_sweep, help=note
    )
    moved = evaluation
    if has_sweep and threshold != start:
        moved = computed(Evaluation.at, evaluation, float(threshold))
        options = f" --threshold {threshold}"
    if evaluation.gate is None:
        right.caption("No gate: stage 1 was not run beside this evaluation.")
        return moved, None, options
    start_gate = float(evaluation.gate)
    gate = right.slider("Gate", 0.0, 1.0, step=0.01, key="explore_gate", help=f"Chosen on validation: {start_gate}")
    return moved, gate, options + (f" --gate {gate}" if gate != start_gate else "")


def plot(figure: go.Figure, key: str, title: str, evaluation: Evaluation) -> None:
    """A chart whose points open their cases when clicked."""
    selection.follow_click(chart(figure, key, title, selectable=True), key, evaluation)


def averages(evaluation: Evaluation) -> None:
    """What the way of averaging does, and what any average hides."""
    first, second = st.columns(2)
    with first:
        figure = of_slices(charts.aggregations, evaluation, of_slices(summarise_segmentation, evaluation))
        chart(figure, "aggregations", "The same masks, four ways to average")
        st.caption("Dice as a mean over what stands below each bar; in the last, an empty slice that stays empty counts as 1.")
    with second:
        place = st.container()  # the control stands below its chart, so that the charts of a row begin together
        groups = computed(loaders.patient_groups, tuple(sorted(set(evaluation.slices["patient"]))))
        by = st.segmented_control("Grouped", ["All", *groups], default="All", required=True, key="grouped")
        with place:
            figure = of_slices(charts.distribution, evaluation, groups.get(str(by)), None if by == "All" else str(by))
            plot(figure, "distribution", "Every patient and every tumour slice", evaluation)
    st.caption(CLICKABLE)


def sizes(evaluation: Evaluation) -> None:
    """Dice against the size of the tumour."""
    first, second = st.columns(2)
    with first:
        plot(of_slices(charts.patient_dice, evaluation), "patients", "Patients by tumour size", evaluation)
    with second:
        plot(of_slices(charts.slice_dice, evaluation), "slices", "Slices by tumour size", evaluation)
    st.caption(CLICKABLE)


def kinds(evaluation: Evaluation) -> None:
    """By tumour and plane, and which kinds are taken for which."""
    first, second = st.columns(2)
    with first:
        chart(of_slices(kind_charts.tumour_and_plane, evaluation), "tumour_and_plane", "By tumour and plane")
    with second:
        if tells_kinds(evaluation.slices):
            chart(of_slices(kind_charts.confused_kinds, evaluation), "confused_kinds", "Which kind it says, and which it is")


def kinds_alone(evaluation: Evaluation) -> None:
    """Everything about a model that says of which kind a tumour is, and outlines nothing."""
    headlines(evaluation.summary["metrics"], KINDS, rederived(evaluation, ""))
    chart(of_slices(kind_charts.confused_kinds, evaluation), "confused_kinds", "Which kind it says, and which it is")


def losses(evaluation: Evaluation, gate: float | None) -> None:
    """What each stage loses and invents, in pixels."""
    figure = computed(charts.error_breakdown, of_slices(error_breakdown, evaluation, gate))
    chart(figure, "error_breakdown", "Where the two stages lose and invent pixels")


def wall(evaluation: Evaluation) -> None:
    """A dot for each patient, regrouped at will."""
    groups = wall_groups(evaluation)
    place = st.container()
    by = st.segmented_control(
        "Patients", ["All", *groups], default="All", required=True, key="wall_by", label_visibility="collapsed"
    )
    readers = readers_of(evaluation)
    with place:
        figure = of_slices(patient_wall, evaluation, readers, groups.get(str(by)))
        st.subheader(of_slices(wall_title, evaluation, readers), anchor=False)
        plot(figure, "wall", "Each dot is a patient; larger dots are larger tumours", evaluation)
    st.caption(f"Dice: 1 is the same outline, 0 is no overlap. {CLICKABLE}")


def wall_groups(evaluation: Evaluation) -> dict[str, dict[str, str]]:
    """By what patients can be grouped: site, size of the tumour, its kind."""
    slices = evaluation.slices
    groups = dict(computed(loaders.patient_groups, tuple(sorted(set(slices["patient"])))))
    groups["Tumour size"] = of_slices(size_quarters, evaluation)
    if "tumour" in slices:
        groups["Tumour"] = dict(zip(slices["patient"], slices["tumour"], strict=True))
    return {name: group for name, group in groups.items() if group}


def readers_of(evaluation: Evaluation) -> float | None:
    """The Dice of two human readers, which is known for the LGG set."""
    is_lgg = loaders.model_config(evaluation.model).data_set.name == lgg.DESCRIPTION.name
    return REPORTED_READERS if is_lgg and evaluation.name not in (EXTERNAL, UPLOADED) else None


@st.fragment
def segmentation(evaluation: Evaluation) -> None:
    """Everything about a segmentation model."""
    first = st.container()  # the patients, above the controls that act on them
    with st.expander("Threshold, gate and filters", icon=":material/tune:"):
        moved, gate, options = explorer(evaluation)
        kept = selection.filter_bar(moved)
    if kept is None:
        return
    final = kept if gate is None else computed(Evaluation.gated, kept, gate)
    with first:
        wall(final)
    at = "" if moved.threshold is None else f" at threshold {st.session_state['explore_threshold']:.2f}"
    both = "" if gate is None else f"Both stages together{at} and gate {gate:.2f}: slices below the gate count as empty."
    st.caption(both or f"Outlining alone{at}.")
    how = rederived(evaluation, options, is_part=len(kept.slices) < len(moved.slices))
    headlines(of_slices(summarise_segmentation, final), SEGMENTATION, how, "" if gate is None else BOTH_STAGES)
    tabs = {
        "Averages": lambda: averages(final),
        "Tumour size": lambda: sizes(final),
        "Error breakdown": lambda: losses(kept, gate),
    }
    if {"tumour", "plane"} <= set(final.slices):
        tabs = {"Tumour and plane": lambda: kinds(final), **tabs}
    show_tabs(tabs)
    download("These slices as CSV", lambda: safe_csv(final.slices), "slices.csv")


def set_stage_1(threshold: float) -> None:
    """Move stage 1's slider."""
    st.session_state["stage_1_threshold"] = threshold


@st.fragment
def classification(evaluation: Evaluation) -> None:
    """Everything about a classifier."""
    start = evaluation.threshold or 0.5
    start_sliders(evaluation, stage_1_threshold=start)
    help_text = f"Chosen on validation: {start}"
    threshold = st.slider("Threshold", 0.01, 0.99, step=0.01, key="stage_1_threshold", help=help_text)
    changed = f" --threshold {threshold}" if threshold != start else ""
    if (gate := loaders.model_config(FLAGSHIP).gate) is not None and gate.model == evaluation.model:
        st.button(f"At the app's gate, {gate.threshold:.2f}", key="at_gate", on_click=set_stage_1, args=(gate.threshold,))
    st.caption(f"Stage 1 alone at {threshold:.2f}; its own threshold is {start:.2f}.")
    figures = dict(evaluation.summary["metrics"]) | of_slices(figures_at, evaluation, threshold)
    headlines(figures, CLASSIFICATION, rederived(evaluation, changed))
    rows = [("confusion", "reliability"), ("roc", "precision_recall")]
    if (evaluation.slices["tumour_pixels"] > 0).nunique() == 1:
        st.caption("All of these slices are of one kind, with a tumour or without: curves over both kinds are undefined.")
        rows = rows[:1]
    for row in rows:
        for column, name in zip(st.columns(2), row, strict=True):
            with column:
                options = () if name == "reliability" else (threshold,)
                chart(of_slices(getattr(stage_1, name), evaluation, *options), name, STAGE_1_TITLES[name])


st.title("Metrics", anchor=False)
try:
    chosen = selection.choose_evaluation()
    if chosen is not None:
        if chosen.segments:
            segmentation(chosen)
        elif tells_kinds(chosen.slices):
            kinds_alone(chosen)
        else:
            classification(chosen)
except InputError as error:
    show_error(error)
