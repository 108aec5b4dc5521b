"""One question each on screen: a sentence that answers it, from stored evaluations, and the charts or tables behind it."""

from __future__ import annotations

import streamlit as st

from pages.common import loaders
from pages.common.chart import chart
from pages.common.dashboards import evaluations
from pages.common.dashboards.caching import computed, of_slices
from pages.common.table import show_table
from resunet.catalogue import FLAGSHIP
from resunet.charts import ablation_charts as charts
from resunet.charts import comparison_charts as comparison
from resunet.charts.style import model_colour
from resunet.data.brats import DIFFERENCES
from resunet.evaluation.ablation_questions import (
    SPLIT_SCHEME_RUNS,
    STAGE_1_RUNS,
    confusion_table,
    loss_table,
    runs_of_losses,
    split_scheme_finding,
    tversky_finding,
)
from resunet.evaluation.averaging import averaging_table
from resunet.evaluation.compare import paired_finding, paired_table
from resunet.evaluation.cross_validation import CROSS_VALIDATED, cross_validation_table, fold_finding
from resunet.evaluation.evaluation import EXTERNAL, Evaluation
from resunet.evaluation.external import external_differences, external_finding, external_rows, external_table

MISSING = "Not measured yet. Run: resunet train --all"
STAGE_1_COLUMNS = {
    "classifier": st.column_config.TextColumn("Classifier", pinned=True),
    "n": st.column_config.NumberColumn("Slices", format="localized"),
    "tn": st.column_config.NumberColumn("True negatives"),
    "fp": st.column_config.NumberColumn("False positives"),
    "fn": st.column_config.NumberColumn("False negatives"),
    "tp": st.column_config.NumberColumn("True positives"),
} | {
    name: st.column_config.NumberColumn(name.capitalize(), format="%.3f") for name in ("accuracy", "sensitivity", "specificity")
}
MEASURED_ON = ("test", "val")  # the sets on which losses and split schemes were measured
Runs = dict[str, Evaluation]


def _runs(name: str) -> Runs:
    """One evaluation of every segmentation run, ablations included."""
    return evaluations.of_all(list(evaluations.measured_runs("segmentation")), _of_ablations(name))


def _of_ablations(name: str) -> str:
    return name if name in MEASURED_ON else MEASURED_ON[0]


def losses(name: str) -> None:
    """ResUNet with each loss."""
    st.subheader("Does Tversky loss find what others miss?", anchor=False)
    measured = _runs(name)
    runs = {run: measured[run] for of_loss in runs_of_losses(measured).values() for run in of_loss}
    if len(runs_of_losses(runs)) < 2:
        st.info(MISSING)
        return
    table = of_slices(loss_table, runs)
    st.markdown(of_slices(tversky_finding, runs) or "")
    left, right = st.columns(2)
    with left:
        chart(computed(charts.sensitivity_by_loss, table), "losses", "Lesions found, by size and loss")
    with right:
        chart(computed(charts.price_by_loss, table), "price", "What finding small lesions costs")


def split_schemes(name: str) -> None:
    """Patients kept apart and random slices, for both stages."""
    st.subheader("How much of 0.98 is the split?", anchor=False)
    runs = _by_scheme(SPLIT_SCHEME_RUNS, name)
    if not runs:
        st.info(MISSING)
        return
    table = computed(averaging_table, runs)
    finding = split_scheme_finding(table)
    st.markdown(finding or "The run on random slices is not measured yet. Run: resunet train --all")
    chart(computed(charts.split_schemes, table), "split_schemes", "The same recipe, both split schemes, every averaging")
    st.subheader("Stage 1 beside the paper's", anchor=False)
    confusions = computed(confusion_table, _by_scheme(STAGE_1_RUNS, name))
    few = {"classifier": "Stage 1", "accuracy": "Accuracy", "sensitivity": "Sensitivity", "specificity": "Specificity"}
    show_table(confusions, "confusions", few, column_config=STAGE_1_COLUMNS)
    st.caption("The last row is reported, not measured here: other slices, and slices of a patient on both sides of the split.")


def _by_scheme(runs: dict[str, str], name: str) -> Runs:
    measured = evaluations.of_all(list(runs.values()), _of_ablations(name))
    return {words: measured[run] for words, run in runs.items() if run in measured}


def cross_validation() -> None:
    """Every patient segmented by a network that never saw them."""
    st.subheader("Every patient once: cross-validation", anchor=False)
    unions = evaluations.of_all(evaluations.compared_models(), CROSS_VALIDATED)
    if not unions:
        st.info(f"Not measured yet. Run: {evaluations.command(FLAGSHIP, CROSS_VALIDATED)}")
        return
    table = computed(cross_validation_table, unions)
    st.markdown(fold_finding(table))
    if FLAGSHIP in unions and len(unions) > 1:
        labels = {name: union.display_name for name, union in unions.items()}
        st.markdown(paired_finding(of_slices(paired_table, unions, FLAGSHIP), labels, FLAGSHIP))
    colours = {union.display_name: model_colour(run) for run, union in unions.items()}
    chart(computed(charts.cross_validation, table, colours), "folds", "Volume Dice of patients that the network never saw")


def external() -> None:
    """The same models on other hospitals' slices."""
    st.subheader("Other hospitals, other scanners", anchor=False)
    models = evaluations.compared_models()
    test = evaluations.of_all(models, "test")
    measured = evaluations.of_all(models, EXTERNAL)
    if FLAGSHIP not in measured or FLAGSHIP not in test:
        st.info(f"Not measured yet. Run: {evaluations.command(FLAGSHIP, EXTERNAL)}")
        return
    table = computed(external_table, test, measured)
    paired = computed(external_differences, measured, FLAGSHIP)
    recipes = {name: loaders.model_config(name).recipe or {} for name in measured}
    pretrained = [name for name, recipe in recipes.items() if recipe.get("imagenet")]
    labels = {name: evaluation.display_name for name, evaluation in measured.items()}
    st.markdown(f"{external_finding(table, pretrained)} {paired_finding(paired, labels, FLAGSHIP)}")
    figure = computed(comparison.test_and_external, table, labels)
    chart(figure, "external", "Volume Dice on the test set and on external slices")
    rows = external_rows(table, paired, labels, pretrained)
    medians = {column: f"{column.partition(' (')[0]}, median" for column in rows.columns if "median" in column}
    few = {"Model": "Model"} | medians
    show_table(rows, "external_table", few, column_config={"Model": st.column_config.TextColumn(pinned=True)})
    st.caption(f"{DIFFERENCES} Brackets: 95 % intervals, patients resampled.")
