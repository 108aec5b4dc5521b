"""Curves of one or several training runs, a panel per quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from resunet.charts.history_curves import Curve, best_epoch, curves_of, panels_of
from resunet.charts.style import BESIDE, TEXT, finish, model_colour

SMOOTHINGS = {"None": 0.0, "Light": 0.6, "Strong": 0.9}  # weights of the past in a running average
ROW = 200  # pixels of a panel


def curves(
    histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str], smoothing: float = 0.0, log_loss: bool = False
) -> go.Figure:
    """All curves of all runs, one panel per quantity; best epochs marked.

    Args:
        histories: history.csv by run, of runs in training too.
        labels: display names by run.
        smoothing: weight of the past in a running average, in [0, 1).
        log_loss: whether the loss has a logarithmic scale.
    """
    panels = panels_of(histories)
    grid = _panels(panels)
    traces = [
        _line(curve, labels[curve.run]) | _axes(grid, _place(curve.panel, panels)) for curve in curves_of(histories, smoothing)
    ]
    # Made at once: Plotly takes as long for every single change of a figure that holds all this.
    layout = _merged(grid.to_dict()["layout"], [_best(grid, histories, panels), _epochs(grid, panels)])
    figure = finish(go.Figure(traces, layout), height=ROW * _rows(panels) + 120)
    figure.update_layout(margin_t=80, margin_b=60, margin_l=BESIDE, legend={"y": 1.0, "yanchor": "top", "yref": "container"})
    if "learning rate" in panels:
        axis = _axes(grid, _place("learning rate", panels))["yaxis"].replace("y", "yaxis")
        figure.layout[axis].tickformat = "~e"  # short, since a phone's panels are narrow
    return figure.update_layout(yaxis_type="log") if log_loss and "loss" in panels else figure


def _rows(panels: list[str]) -> int:
    return -(-len(panels) // min(2, len(panels)))


def _panels(panels: list[str]) -> go.Figure:
    """Panels, two abreast."""
    rows, columns = _rows(panels), min(2, len(panels))
    titles = panels + [""] * (rows * columns - len(panels))
    return make_subplots(rows, columns, subplot_titles=titles, horizontal_spacing=0.14, vertical_spacing=0.4 / rows)


def _place(panel: str, panels: list[str]) -> tuple[int, int]:
    row, column = divmod(panels.index(panel), min(2, len(panels)))
    return row + 1, column + 1


def _axes(grid: go.Figure, place: tuple[int, int]) -> dict[str, str]:
    """What a trace calls the axes of a place in the grid."""
    x, y = grid.get_subplot(*place)
    return {"xaxis": x.plotly_name.replace("axis", ""), "yaxis": y.plotly_name.replace("axis", "")}


def _line(curve: Curve, label: str) -> dict[str, Any]:
    """The whole curve."""
    trained = curve.column.startswith("train")
    name = f"{label}, {curve.column.replace('train_', 'training ').replace('val_', 'validation ')}"
    return {
        "type": "scatter",
        "x": np.arange(1, curve.points.size + 1),
        "y": curve.points,
        "mode": "lines",
        "line": {"color": model_colour(curve.run), "width": 3, "dash": "dot" if trained else "solid"},
        "name": name,
        "legendgroup": curve.run,
        "showlegend": curve.column == "val_loss",
        "hovertemplate": "epoch %{x}: %{y:.4g}<extra>" + f"{name}</extra>",
    }


def _best(grid: go.Figure, histories: Mapping[str, pd.DataFrame], panels: list[str]) -> dict[str, Any]:
    """A dashed line at each run's best epoch in every panel; Plotly's `add_vline` takes seconds for many."""
    axes = [_axes(grid, _place(panel, panels)) for panel in panels]
    lines = [
        {
            "type": "line",
            "xref": at["xaxis"],
            "yref": f"{at['yaxis']} domain",
            "x0": best_epoch(table),
            "x1": best_epoch(table),
            "y0": 0,
            "y1": 1,
            "line": {"color": model_colour(run), "dash": "dash", "width": 1},
        }
        for run, table in histories.items()
        for at in axes
    ]
    # Words once, inside the first panel, and to the left: the best epoch is often the last, and a phone's panels are narrow.
    words = [
        {
            "text": "best",
            "font": {"size": TEXT},
            "x": best_epoch(table),
            "xref": "x",
            "xanchor": "right",
            "y": 1,
            "yref": "y domain",
            "yanchor": "top",
            "showarrow": False,
        }
        for table in histories.values()
    ]
    return {"shapes": lines, "annotations": words}


def _epochs(grid: go.Figure, panels: list[str]) -> dict[str, Any]:
    """The title of the axis under the lowest panels."""
    lowest = panels[-min(2, len(panels)) :]
    return {grid.get_subplot(*_place(panel, panels)).xaxis.plotly_name: {"title": {"text": "epoch"}} for panel in lowest}


def _merged(layout: dict[str, Any], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A layout with more of it: lists are appended, axes completed."""
    for part in parts:
        for name, value in part.items():
            layout[name] = [*layout.get(name, []), *value] if isinstance(value, list) else layout.get(name, {}) | value
    return layout
