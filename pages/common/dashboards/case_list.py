"""The list beside a case: as a table, or as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.common import loaders
from resunet.charts import overlay
from resunet.charts.chart_files import escape_formula
from resunet.data.slices import Slice
from resunet.evaluation.evaluation import EXTERNAL, Evaluation

COLUMNS = {
    "patient": st.column_config.TextColumn("Patient", pinned=True),
    "slice": st.column_config.NumberColumn("Slice"),
    "wrong": st.column_config.NumberColumn("Wrong, px ↓", format="localized", help="False and missed together; sorted by it"),
    "dice": st.column_config.ProgressColumn("Dice", min_value=0, max_value=1, format="%.3f"),
    "tumour_pixels": st.column_config.NumberColumn("Tumour, px", format="localized"),
    "fp": st.column_config.NumberColumn("False positives, px", format="localized"),
    "fn": st.column_config.NumberColumn("Missed, px", format="localized"),
    "p_tumour": st.column_config.NumberColumn("P(tumour)", format="percent"),
}
ACROSS, ON_A_PAGE = 4, 16
THUMBNAIL = 160  # pixels


def go_to(row: pd.Series) -> None:
    """Write the case into the address."""
    st.query_params.update(patient=str(row["patient"]), slice=str(row["slice"]))


def record_of(evaluation: Evaluation, patient: str, number: int) -> Slice | None:
    """The slice's own image and mask where they are at hand: uploaded by this visitor, or in a data set's folder."""
    known: Mapping[str, Sequence[Slice]] = (
        loaders.external_patients() if evaluation.name == EXTERNAL else loaders.lgg_patients()
    )
    records = evaluation.records or known.get(patient, [])
    return next((record for record in records if record.patient == patient and record.number == number), None)


def show(evaluation: Evaluation, table: pd.DataFrame, position: int) -> None:
    """All cases, worst first; choosing one writes it into the address."""
    view = st.segmented_control("View", ["Table", "Pictures"], default="Table", required=True, key="case_view")
    if view == "Table":
        _rows(table, position)
    else:
        _pictures(evaluation, table, position)


def _rows(table: pd.DataFrame, position: int) -> None:
    shown = table[[name for name in COLUMNS if name in table and table[name].notna().any()]]
    event = st.dataframe(
        shown.assign(patient=shown["patient"].map(escape_formula)),
        hide_index=True,
        column_config=COLUMNS,
        on_select="rerun",
        selection_mode=["single-row-required", "single-cell"],  # a click anywhere in a row is one on it
        selection_default={"selection": {"rows": [position]}},
        key=f"case_table_{position}",  # a new one for each case, so that the tick follows
        height=640,
        placeholder="–",
    )
    chosen = [row for row, _ in event["selection"]["cells"]] or event["selection"]["rows"]
    if chosen and chosen[0] != position and chosen[0] < len(table):
        go_to(table.iloc[chosen[0]])
        st.rerun()


def _pictures(evaluation: Evaluation, table: pd.DataFrame, position: int) -> None:
    first = position // ACROSS * ACROSS
    page = table.iloc[first : first + ON_A_PAGE]
    for start in range(0, len(page), ACROSS):
        for column, (number, row) in zip(st.columns(ACROSS), page.iloc[start : start + ACROSS].iterrows(), strict=False):
            dice = "–" if pd.isna(row["dice"]) else f"{row['dice']:.2f}"
            column.image(_thumbnail(evaluation, row), width="stretch", alt=f"Case {number}")
            kind = "primary" if number == position else "secondary"
            column.button(dice, key=f"case_picture_{number}", type=kind, width="stretch", on_click=go_to, args=(row,))
    st.caption("Dice of each slice; blue: true outline, orange: predicted. The list goes on from the case that is shown.")


def _thumbnail(evaluation: Evaluation, row: pd.Series) -> overlay.Picture:
    """The slice with both outlines where it is at hand, or the predicted mask; black where that was not kept."""
    masks = evaluation.masks()
    record = record_of(evaluation, row["patient"], int(row["slice"]))
    predicted = None if masks is None or row["row"] >= len(masks) else masks[int(row["row"])]
    if record is None:
        plain = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8) if predicted is None else predicted.astype(np.uint8) * 255
        return overlay.shrink(plain, THUMBNAIL)
    picture = overlay.render(record.image(), THUMBNAIL)
    picture = overlay.outline(picture, record.mask(), overlay.TRUTH)
    return picture if predicted is None else overlay.outline(picture, predicted, overlay.PREDICTED)
