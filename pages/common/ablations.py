"""The ablations on screen: figures or tables from the runs of one evaluation, and one sentence of finding."""

from __future__ import annotations

import streamlit as st

from pages.common import evaluations
from pages.common.caching import computed, of_slices
from pages.common.chart import chart
from resunet.charts import ablations as charts
from resunet.charts.style import model_colour
from resunet.evaluation.ablations import (
    SPLIT_SCHEME_RUNS,
    STAGE_1_RUNS,
    confusion_table,
    loss_table,
    runs_of_losses,
    split_scheme_finding,
    tversky_finding,
)
from resunet.evaluation.averaging import averaging_table
from resunet.evaluation.cross_validation import cross_validation_table, fold_finding, out_of_fold
from resunet.evaluation.evaluation import Evaluation

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
Runs = dict[str, Evaluation]


def _runs(name: str) -> Runs:
    """One evaluation of every segmentation run, ablations included."""
    return evaluations.of_all(list(evaluations.measured_runs("segmentation")), name)


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
    st.dataframe(confusions, hide_index=True, key="confusions", column_config=STAGE_1_COLUMNS)
    st.caption("The last row is reported, not measured here: other slices, and slices of a patient on both sides of the split.")


def _by_scheme(runs: dict[str, str], name: str) -> Runs:
    measured = evaluations.of_all(list(runs.values()), name)
    return {words: measured[run] for words, run in runs.items() if run in measured}


def cross_validation(name: str) -> None:
    """Every patient segmented by a network that never saw them."""
    st.subheader("Every patient once: cross-validation", anchor=False)
    unions = computed(out_of_fold, _runs(name))
    if not unions:
        st.info(MISSING)
        return
    table = computed(cross_validation_table, unions)
    st.markdown(fold_finding(table))
    colours = {union.display_name: model_colour(run) for run, union in unions.items()}
    chart(computed(charts.cross_validation, table, colours), "folds", "Volume Dice of patients that the network never saw")
