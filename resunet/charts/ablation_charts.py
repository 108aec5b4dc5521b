"""Charts of the ablations: losses, split schemes, cross-validation."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from resunet.charts.comparison_charts import QUARTERS
from resunet.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, finish, whiskers
from resunet.evaluation.ablation_questions import FALSE_POSITIVES, LOSS_LABELS, REPORTED_DICE, SMALLEST
from resunet.evaluation.cross_validation import REPORTED_MEAN

LOSS_COLOURS = dict(zip(LOSS_LABELS.values(), (GREY, BLUE, ORANGE, RED, GREEN), strict=True))
SCHEME_COLOURS = (BLUE, PURPLE)


def sensitivity_by_loss(table: pd.DataFrame) -> go.Figure:
    """Share of lesions found by quarter of their area, one group of bars per loss."""
    figure = go.Figure()
    for loss, rows in table.groupby("loss", sort=False):
        quarters = rows.set_index("metric").reindex(QUARTERS)
        runs = int(rows["runs"].iloc[0])
        figure.add_bar(
            # Lesions, not lesions times runs: losses with more runs than others share their group of bars.
            x=[f"quarter {index + 1}<br>n = {n / runs:,.0f}" for index, n in enumerate(quarters["n"])],
            y=quarters["value"],
            name=f"{loss} ({runs} run{'s' if runs > 1 else ''})",
            marker_color=LOSS_COLOURS[str(loss)],
            error_y=whiskers(quarters["value"], quarters["low"], quarters["high"]),
        )
    figure.update_yaxes(range=[0, 1.03])
    return finish(figure, "Lesions by area, smallest quarter first", "Share found", 420, barmode="group")


def price_by_loss(table: pd.DataFrame) -> go.Figure:
    """What is found against what it costs: small lesions found over false positives on empty slices, one point per loss."""
    wide = table.pivot_table(index="loss", columns="metric", values=["value", "low", "high"], sort=False)
    figure = go.Figure()
    for loss, row in wide.iterrows():
        x, y = row["value", FALSE_POSITIVES], row["value", SMALLEST]
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            name=str(loss),
            marker={"size": 14, "color": LOSS_COLOURS[str(loss)]},
            error_x=whiskers([x], [row["low", FALSE_POSITIVES]], [row["high", FALSE_POSITIVES]]),
            error_y=whiskers([y], [row["low", SMALLEST]], [row["high", SMALLEST]]),
        )
    false_positives = table[table["metric"] == FALSE_POSITIVES].iloc[0]
    n = false_positives["n"] // false_positives["runs"]
    return finish(figure, f"Empty slices with a false positive, share of n = {n:,}", "Smallest lesions, share found", 420)


def cross_validation(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Out-of-fold volume Dice by group of patients, one row of points per model, beside what is reported."""
    figure = go.Figure()
    for model, rows in table.groupby("model", sort=False):
        figure.add_scatter(
            x=rows["mean"],
            y=[f"{group} (n = {n})" for group, n in zip(rows["group"], rows["n"], strict=True)],
            mode="markers",
            name=str(model),
            marker={"size": 12, "color": colours[str(model)]},
            error_x=whiskers(rows["mean"], rows["low"], rows["high"]),
            customdata=rows["median"],
            hovertemplate="%{y}: mean %{x:.3f}, median %{customdata:.3f}<extra></extra>",
        )
    words = {"annotation_text": f"Buda 2019: {REPORTED_MEAN}", "annotation_position": "bottom right"}
    figure.add_vline(x=REPORTED_MEAN, line={"color": GREY, "dash": "dot"}, **words)
    figure.update_yaxes(autorange="reversed")
    return finish(figure, "Volume Dice, mean over patients", None, 120 + 34 * table["group"].nunique(), scattermode="group")


def split_schemes(table: pd.DataFrame) -> go.Figure:
    """The same recipe under both split schemes and every averaging, beside what the paper reports."""
    figure = go.Figure()
    for (scheme, rows), colour in zip(table.groupby("scheme", sort=False), SCHEME_COLOURS, strict=False):
        figure.add_bar(
            y=[text.replace(", mean over batches", ",<br>mean over batches") for text in rows["aggregation"]],
            x=rows["value"],
            name=str(scheme),
            orientation="h",
            marker_color=colour,
            error_x=whiskers(rows["value"], rows["low"], rows["high"]),
            customdata=rows["n"],
            hovertemplate="%{y}: %{x:.3f}, n = %{customdata:,}<extra></extra>",
        )
    words = {"annotation_text": f"reported by the paper: {REPORTED_DICE}", "annotation_position": "top left"}
    figure.add_vline(x=REPORTED_DICE, line={"color": ORANGE, "dash": "dot"}, **words)
    figure.update_xaxes(range=[0, 1.03])
    figure.update_yaxes(autorange="reversed")
    return finish(figure, "Dice, or soft Tversky index where it says so", None, 460, barmode="group")
