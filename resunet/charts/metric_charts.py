"""Charts of one model on one evaluation, from its slices.csv."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from resunet.charts.style import BLUE, GREEN, GREY, ORANGE, RED, SKY, finish, log_axis, whiskers
from resunet.data.splits import BUDA_TEN
from resunet.evaluation.aggregate import segmentation_ratios
from resunet.evaluation.overlap import ratio, table_dice, volume_dice, volumes

AGGREGATIONS = {
    "volume_dice_mean": "Patients",
    "tumour_slice_dice": "Tumour<br>slices",
    "pooled_dice": "Pixels",
    "all_slice_dice": "All<br>slices",
}


def patient_table(slices: pd.DataFrame) -> pd.DataFrame:
    """One row per patient: dice of the volume, tumour_pixels, worst_slice (its number, for drilling down)."""
    patients = volumes(slices)
    table = pd.DataFrame({"dice": volume_dice(slices), "tumour_pixels": patients["tp"] + patients["fn"]}, index=patients.index)
    errors = slices.assign(wrong=slices["fp"] + slices["fn"])
    worst = errors.loc[errors.groupby("patient")["wrong"].idxmax()].set_index("patient")["slice"]
    return table.assign(worst_slice=worst).rename_axis("patient").reset_index()


def slice_table(slices: pd.DataFrame) -> pd.DataFrame:
    """The slices that show a tumour, with the dice of each."""
    shown = slices[slices["tumour_pixels"] > 0]
    return shown.assign(dice=table_dice(shown))


def cases(table: pd.DataFrame, number: str) -> pd.DataFrame:
    """The customdata of points: patient and slice, which a click opens, and the patient's name as hover text may show it."""
    named = table[["patient", number]]
    return named.assign(
        shown=named["patient"].map({name: html.escape(str(name)) for name in named["patient"].unique()})
    )  # Plotly reads tags in hover text


def patient_dice(slices: pd.DataFrame) -> go.Figure:
    """Volume Dice of each patient against tumour size; the ten patients with a published figure are filled."""
    patients = patient_table(slices)
    figure = go.Figure()
    some_are_named = bool(patients["patient"].isin(BUDA_TEN).any())
    for named, label in ((True, "published ten"), (False, "others" if some_are_named else "patients")):
        group = patients[patients["patient"].isin(BUDA_TEN) == named]
        if group.empty:
            continue
        figure.add_scatter(
            x=group["tumour_pixels"],
            y=group["dice"],
            mode="markers",
            name=f"{label} (n = {len(group)})",
            customdata=cases(group, "worst_slice"),
            hovertemplate="%{customdata[2]}<br>Dice %{y:.3f}<br>%{x:,} tumour pixels<extra></extra>",
            marker={"size": 13, "color": BLUE, "symbol": "circle" if named else "circle-open", "line": {"width": 2}},
        )
    mean = float(patients["dice"].mean())
    figure.add_hline(y=mean, line={"dash": "dot", "color": ORANGE}, annotation_text=f"mean {mean:.3f}")
    log_axis(figure)
    figure.update_yaxes(range=[min(0.4, float(patients["dice"].min()) - 0.05), 1.02])
    return finish(figure, "Tumour volume, pixels (log scale)", "Volume Dice", 380)


def aggregations(slices: pd.DataFrame, metrics: dict[str, dict[str, Any]]) -> go.Figure:
    """The same masks under every aggregation of Dice, with what predicting nothing would score as the floor.

    Args:
        metrics: what `summarise_segmentation` makes of the slices.
    """
    floor = segmentation_ratios(slices.assign(tp=0, fp=0, fn=slices["tumour_pixels"], lesions=None))
    names = list(AGGREGATIONS)
    values = np.array([metrics[name]["value"] for name in names])
    figure = go.Figure()
    figure.add_bar(
        x=list(AGGREGATIONS.values()),
        customdata=[f"mean over {metrics[name]['n']:,} {metrics[name]['unit']}s" for name in names],
        y=values,
        marker_color=BLUE,
        text=[f"{value:.3f}" for value in values],
        textposition="inside",
        insidetextanchor="start",
        name="this model",
        error_y=whiskers(values, *([metrics[name][end] for name in names] for end in ("low", "high"))),
        hovertemplate="%{y:.3f}, %{customdata}<extra></extra>",
    )
    figure.add_scatter(
        x=figure.data[0].x,
        y=[ratio(floor[name].part.sum(), floor[name].whole.sum()) for name in names],
        mode="markers",
        marker={"symbol": "line-ew", "size": 60, "line": {"width": 4, "color": RED}},
        name="predicting nothing",
        hovertemplate="predicting nothing scores %{y:.3f}<extra></extra>",
    )
    figure.update_yaxes(range=[0, 1.02]).update_xaxes(tickangle=0)
    return finish(figure, None, "Dice, 95 % interval over patients")


def distribution(slices: pd.DataFrame, group: Mapping[str, str] | None = None, label: str | None = None) -> go.Figure:
    """Volume Dice per patient and Dice per tumour slice as boxes with every point, all together or group by group.

    Args:
        group: the group of each patient, e.g. its site; patients that it leaves out are "not known".
        label: what the groups are.
    """
    figure = go.Figure()
    patients = patient_table(slices)
    tumours = slice_table(slices)
    for table, kind, number, colour in (
        (patients, "patient volumes", "worst_slice", BLUE),
        (tumours, "tumour slices", "slice", ORANGE),
    ):
        figure.add_box(
            x=[kind] * len(table) if group is None else [group.get(name, "not known") for name in table["patient"]],
            y=table["dice"],
            name=f"{kind} (n = {len(table)})",
            customdata=cases(table, number),
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            marker={"color": colour, "size": 6, "opacity": 0.7},
            line={"width": 2},
            hovertemplate="%{customdata[2]}, slice %{customdata[1]}<br>Dice %{y:.3f}<extra></extra>",
        )
    figure.update_yaxes(range=[-0.03, 1.03])
    return finish(figure, label, "Dice", boxmode="overlay" if group is None else "group")


def slice_dice(slices: pd.DataFrame) -> go.Figure:
    """Dice of every tumour slice against the tumour's size in it."""
    table = slice_table(slices)
    figure = go.Figure()
    figure.add_scatter(
        x=table["tumour_pixels"],
        y=table["dice"],
        mode="markers",
        customdata=cases(table, "slice"),
        marker={"size": 8, "color": ORANGE, "opacity": 0.75},
        name=f"tumour slices (n = {len(table)})",
        showlegend=True,
        hovertemplate="%{customdata[2]}, slice %{customdata[1]}<br>Dice %{y:.3f}<br>%{x:,} tumour pixels<extra></extra>",
    )
    log_axis(figure)
    figure.update_yaxes(range=[-0.03, 1.03])
    return finish(figure, "Tumour in the slice, pixels (log scale)", "Dice of the slice")


def error_breakdown(pixels: dict[str, int]) -> go.Figure:
    """Where the two stages lose and invent pixels, as one bar for the tumour's pixels and one for the false ones."""
    rows = (
        ("Tumour pixels", "found", "outlined", GREEN),
        ("Tumour pixels", "lost_at_gate", "lost at the gate", RED),
        ("Tumour pixels", "lost_lesions", "lost with whole lesions", ORANGE),
        ("Tumour pixels", "lost_at_border", "lost at borders", SKY),
        ("False pixels", "false_on_tumour_slices", "on tumour slices", GREY),
        ("False pixels", "false_on_empty_slices", "on empty slices", BLUE),
    )
    figure = go.Figure()
    for bar, name, label, colour in rows:
        share = pixels[name] / max(1, pixels["tumour"])
        figure.add_bar(
            y=[bar],
            x=[pixels[name]],
            orientation="h",
            name=label,
            marker_color=colour,
            text=f"{share:.1%}",
            textposition="inside",
            insidetextanchor="middle",
            hovertemplate=f"{label}: %{{x:,}} pixels, {share:.2%} of the tumour<extra></extra>",
        )
    figure = finish(figure, f"Pixels; all tumours together are {pixels['tumour']:,}", None, 260, barmode="stack")
    figure.update_layout(uniformtext={"minsize": 11, "mode": "hide"})
    return figure
