"""Charts of kinds of tumour: Dice and the right kind by tumour and plane, and which kind is taken for which."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from resunet.charts.style import BLUE, GREEN, GREY, ORANGE, finish, whiskers
from resunet.evaluation.kinds import by_tumour_and_plane, confusion, tells_kinds


def tumour_and_plane(slices: pd.DataFrame) -> go.Figure:
    """Dice per slice, and where kinds are told how often the kind is right, of each tumour, plane and tumour in a plane."""
    table = by_tumour_and_plane(slices)
    names = [f"{row['group'].capitalize()} (n = {row['slices']:,})" for row in table.to_dict("records")]
    figure = go.Figure()
    shown = [("dice", "Dice, tumour slices", BLUE)] + ([("accuracy", "kind right", ORANGE)] if tells_kinds(slices) else [])
    for column, label, colour in shown:
        figure.add_scatter(
            x=table[column],
            y=names,
            mode="markers",
            name=label,
            marker={"size": 12, "color": colour},
            error_x=whiskers(table[column], table[f"{column}_low"], table[f"{column}_high"]),
            hovertemplate="%{y}: %{x:.3f}<extra>" + label + "</extra>",
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(range=[0, 1.03])
    return finish(figure, "Share, 95 % interval over patients", None, 120 + 28 * len(names), scattermode="group")


def confused_kinds(slices: pd.DataFrame) -> go.Figure:
    """Slices by true and likeliest kind, as squares with their counts."""
    table = confusion(slices)
    kinds = list(table.index)
    cells = [(truth, called, int(table.loc[truth, called])) for truth in kinds for called in kinds]
    figure = go.Figure()
    figure.add_scatter(
        x=[f"called {called}" for _, called, _ in cells],
        y=[truth for truth, _, _ in cells],
        mode="markers+text",
        marker={"symbol": "square", "size": 74, "color": [GREEN if truth == called else GREY for truth, called, _ in cells]},
        text=[f"<b>{count:,}</b>" for *_, count in cells],
        textfont={"color": "white", "size": 16},
        hovertemplate="%{y}, %{x}: %{text} slices<extra></extra>",
    )
    figure.update_xaxes(range=[-0.6, len(kinds) - 0.4])
    figure.update_yaxes(range=[len(kinds) - 0.4, -0.6])
    return finish(figure, f"Likeliest kind, n = {len(slices):,} slices", None, 360)
