"""Evaluate, whole volumes: run a model over a visitor's cases and show each one's scores."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from pages.common import loaders, models, predictions, session
from pages.common.downloads import download
from pages.common.messages import counted, escape_markdown
from pages.common.table import show_table
from pages.common.volumes import segmented_volume as volumes
from resunet.charts.chart_files import safe_csv
from resunet.errors import InputError
from resunet.evaluation.volume_scores import TOLERANCE_MM, MeasuredCases, measure_cases, summarise_cases
from resunet.examination import Examination
from resunet.inference.pipeline import TumourPipeline

RESULT = "evaluate_volumes"  # in the session: what tells model and data from others, and the table
MAX_SECONDS = 600  # that one visitor's evaluation may take while others wait
COLUMNS = {
    "case": st.column_config.TextColumn("Case", pinned=True),
    "dice": st.column_config.NumberColumn("Dice", format="%.3f"),
    "hd95_mm": st.column_config.NumberColumn("HD95, mm", format="%.1f", help="95th percentile Hausdorff distance"),
    "surface_dice_2mm": st.column_config.NumberColumn(
        "Surface Dice", format="%.3f", help=f"Share of both surfaces within {TOLERANCE_MM:g} mm of the other"
    ),
    "true_ml": st.column_config.NumberColumn("True, ml", format="%.1f"),
    "volume_ml": st.column_config.NumberColumn("Outlined, ml", format="%.1f"),
    "volume_error_ml": st.column_config.NumberColumn("Error, ml", format="%+.1f", help="Outlined minus true"),
    "slices": st.column_config.NumberColumn("Slices"),
    "p_tumour": st.column_config.NumberColumn("Highest P(tumour)", format="percent"),
    "seconds": st.column_config.NumberColumn("Seconds", format="%.1f"),
}


def show(model: str, name: str, cases: list[Examination], notes: Sequence[str], key: str) -> None:
    """The button that runs the model over the cases, and what came of it. Raises InputError."""
    one = len(cases) == 1
    st.caption(f"{name}: {len(cases):,} volume{'' if one else 's'} with {'its mask' if one else 'their masks'}.")
    for note in notes:
        st.caption(escape_markdown(note))
    loaded = models.pipeline_of(model)
    if st.button("Evaluate", type="primary", icon=":material/play_arrow:", key="evaluate_start"):
        with predictions.in_line(volumes.VOLUMES, "Other visitors' volumes come first."):
            session.keep(RESULT, (model, key), _measure(loaded, cases))
        st.rerun()
    measured = session.recall(RESULT, (model, key))
    if isinstance(measured, MeasuredCases):
        _result(model, loaded, measured)


def _measure(pipeline: TumourPipeline, cases: list[Examination]) -> MeasuredCases:
    """Pressing Cancel reruns the page, which ends this at the next slice. Raises InputError."""
    bar = st.progress(0.0, text=f"0 of {len(cases):,} volumes")
    started = time.monotonic()
    st.button("Cancel", key="evaluate_cancel")

    def on_progress(done: int, slices: int) -> None:
        if time.monotonic() - started > MAX_SECONDS:
            raise InputError(f"After {MAX_SECONDS / 60:.0f} minutes, {done:,} of {len(cases):,} volumes are done; give fewer.")
        bar.progress(done / len(cases), text=f"{done:,} of {len(cases):,} volumes, slice {slices:,} of the next")

    try:
        return measure_cases(pipeline, cases, on_progress=on_progress, decoder=predictions.volume_decoder())
    finally:
        pipeline.stage_2.release()


def _result(model: str, pipeline: TumourPipeline, measured: MeasuredCases) -> None:
    for case, problem in measured.problems.items():
        st.error(f"{escape_markdown(case)}: {escape_markdown(problem)}", icon=":material/error:")
    table = measured.table
    if table.empty:
        return
    dice = summarise_cases(table, model, pipeline.threshold, pipeline.gate)["metrics"]["volume_dice_mean"]
    finding = (
        f"mean volume Dice {dice['value']:.3f} ({dice['low']:.3f} to {dice['high']:.3f}) over {counted(dice['n'], 'volume')}"
    )
    if dice["n"] == 0:
        finding = "no mask holds a tumour, so Dice says nothing; see what was outlined"
    st.success(f"{loaders.display_name(model)}: {finding}.", icon=":material/check_circle:")
    few = {"case": "Case", "dice": "Dice", "volume_ml": "Outlined, ml"}
    show_table(table, "evaluate_table", few, column_config=COLUMNS, column_order=list(COLUMNS), placeholder="–")
    download("By case (CSV)", lambda: safe_csv(table), "cases.csv")
