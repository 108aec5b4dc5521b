"""The study's questions on screen: figures or tables from the evaluations of one protocol, and one sentence of finding."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common import loaders, picks
from pages.common.chart import chart
from pages.common.once import once
from resunet.charts import questions as charts
from resunet.evaluation.folds import fold_finding, fold_table, out_of_fold
from resunet.evaluation.protocols import protocol_table
from resunet.evaluation.questions import (
    PROTOCOL_RUNS,
    STAGE_1_RUNS,
    confusion_table,
    loss_table,
    protocol_finding,
    runs_of_losses,
    tversky_finding,
)

MISSING = "Not measured yet. Run: resunet train --all"


def _slices(protocol: str) -> dict[str, pd.DataFrame]:
    """slices.csv of every segmentation run, questions included."""
    there = [name for name in picks.measured_models("segmentation") if protocol in loaders.model_protocols(name)]
    return {name: table for name in there if (table := loaders.model_slices(name, protocol)) is not None}


def losses(protocol: str) -> None:
    """ResUNet with each loss."""
    st.subheader("Does Tversky loss find what others miss?", anchor=False)
    slices = _slices(protocol)
    runs = {name: slices[name] for names in runs_of_losses(slices).values() for name in names}
    if len(runs_of_losses(runs)) < 2:
        st.info(MISSING)
        return
    table = once(protocol, loss_table, runs)
    st.markdown(once(protocol, tversky_finding, runs) or "")
    left, right = st.columns(2)
    with left:
        chart(once(protocol, charts.sensitivity_by_loss, table), "losses", "Lesions found, by size and loss")
    with right:
        chart(once(protocol, charts.price_by_loss, table), "price", "What finding small lesions costs")


def protocols(protocol: str) -> None:
    """Patients kept apart and random slices, for both stages."""
    _averages(protocol)
    _stage_1(protocol)


def _averages(protocol: str) -> None:
    st.subheader("How much of 0.98 is the protocol?", anchor=False)
    slices = _slices(protocol)
    both = {
        words: (summary, slices[name])
        for words, name in PROTOCOL_RUNS.items()
        if name in slices and (summary := loaders.model_summary(name, protocol)) is not None
    }
    if not both:
        st.info(MISSING)
        return
    table = once(protocol, protocol_table, both)
    st.markdown(protocol_finding(table) or "The run on random slices is not measured yet. Run: resunet train --all")
    chart(once(protocol, charts.protocols, table), "protocols", "The same recipe, every protocol and averaging")


def _stage_1(protocol: str) -> None:
    st.subheader("Stage 1 beside the paper's", anchor=False)
    measured = {
        words: (summary["threshold"], table)
        for words, name in STAGE_1_RUNS.items()
        if (summary := loaders.model_summary(name, protocol)) is not None
        and (table := loaders.model_slices(name, protocol)) is not None
    }
    st.dataframe(
        once(protocol, confusion_table, measured),
        hide_index=True,
        key="confusions",
        column_config={
            "classifier": st.column_config.TextColumn("Classifier", pinned=True),
            "n": st.column_config.NumberColumn("Slices", format="localized"),
            "tn": st.column_config.NumberColumn("Empty, said empty"),
            "fp": st.column_config.NumberColumn("Empty, said tumour"),
            "fn": st.column_config.NumberColumn("Tumour, said empty"),
            "tp": st.column_config.NumberColumn("Tumour, said tumour"),
            "accuracy": st.column_config.NumberColumn("Accuracy", format="%.3f"),
            "sensitivity": st.column_config.NumberColumn("Sensitivity", format="%.3f"),
            "specificity": st.column_config.NumberColumn("Specificity", format="%.3f"),
        },
    )
    st.caption("The last row is reported, not measured here: other slices, and slices of a patient on both sides of the split.")


def folds(protocol: str) -> None:
    """Every patient judged by a network that never saw it."""
    st.subheader("Every patient once: cross-validation", anchor=False)
    tables = once(protocol, out_of_fold, _slices(protocol))
    if not tables:
        st.info(MISSING)
        return
    table = once(protocol, fold_table, tables)
    st.markdown(fold_finding(table))
    chart(once(protocol, charts.folds, table), "folds", "Volume Dice of patients that the network never saw")
