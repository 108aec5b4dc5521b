"""The training replay: curves of one or several runs, uncovered epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from resunet.charts.animation import OVER_TITLES, with_controls
from resunet.charts.history_curves import Curve, best_epoch, curves_of, panels_of
from resunet.charts.masks_replay import SampleMasks
from resunet.charts.style import BESIDE, TEXT, finish, model_colour

SMOOTHINGS = {"No smoothing": 0.0, "Light": 0.6, "Strong": 0.9}
GRID, ROW = 6, 200  # columns, which panels and pictures share; pixels
LEAST = 1e-6  # of a loss on a logarithmic scale


def curves(histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> go.Figure:
    """All curves of all runs, whole, one panel per quantity; best epochs marked. For runs in training too.

    Args:
        histories: history.csv by run.
        labels: display names by run.
    """
    panels = panels_of(histories)
    grid = _panels(panels, 0)
    traces = [
        _line(curve, labels[curve.run], True) | _axes(grid, _place(curve.panel, panels)) for curve in curves_of(histories)
    ]
    layout = _merged(grid.to_dict()["layout"], [_best(grid, histories, panels), _epochs(grid, panels)])
    return _finish(go.Figure(traces, layout), panels, 0)


def animation(histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str], masks: SampleMasks | None = None) -> go.Figure:
    """`curves`, uncovered epoch by epoch, over what a network outlined in sample slices meanwhile.

    Play, pause, the epoch, how smooth curves are and the loss's scale are the browser's; no server is asked.
    """
    panels = panels_of(histories)
    epochs = max(table["epoch"].size for table in histories.values())
    grid = _panels(panels, masks.rows if masks else 0)
    smoothed = [curves_of(histories, weight) for weight in SMOOTHINGS.values()]
    spans = {panel: _span([curve for curve in smoothed[0] if curve.panel == panel]) for panel in panels}
    traces = [
        _line(curve, labels[curve.run], number == 0) | _axes(grid, _place(curve.panel, panels))
        for number, lines in enumerate(smoothed)
        for curve in lines
    ]
    veils = list(range(len(traces), len(traces) + len(panels)))
    traces += [_veil(spans[panel], epochs) | _axes(grid, _place(panel, panels)) for panel in panels]
    if masks is not None:
        axes = [_axes(grid, place) for place in masks.places(_rows(panels))]
        traces += [trace | at for trace, at in zip(masks.truths(), axes, strict=True)]
        outlines = list(range(len(traces), len(traces) + len(axes)))
        traces += [trace | at for trace, at in zip(masks.last(), axes, strict=True)]
    frames = [
        {
            "name": str(epoch),
            "traces": veils + (outlines if masks else []),
            "data": [_uncovered(spans[panel], epoch, epochs) for panel in panels] + (masks.at(epoch) if masks else []),
        }
        for epoch in range(1, epochs + 1)
    ]
    ranges: dict[str, dict[str, Any]] = {}
    for panel in panels:
        x, y = grid.get_subplot(*_place(panel, panels))
        ranges |= {x.plotly_name: {"range": [0.5, epochs + 0.5]}, y.plotly_name: {"range": spans[panel]}}
    parts = [_best(grid, histories, panels), _epochs(grid, panels), ranges, masks.layout(axes) if masks else {}]
    # Made at once: Plotly takes as long for every single change of a figure that holds all this.
    figure = go.Figure(traces, _merged(grid.to_dict()["layout"], parts), frames)
    _finish(figure, panels, masks.rows if masks else 0)
    count = len(smoothed[0])
    shown = {
        name: [number == chosen for number in range(len(SMOOTHINGS)) for _ in range(count)]
        for chosen, name in enumerate(SMOOTHINGS)
    }
    return with_controls(figure, epochs, shown, spans.get("loss"))


def _span(lines: list[Curve]) -> tuple[float, float]:
    """The range of a panel, in which the axis stands still."""
    values = np.concatenate([curve.points for curve in lines])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.05 * (high - low or 1.0)
    return low - margin, high + margin


def _uncovered(span: tuple[float, float], epoch: float, epochs: int) -> dict[str, Any]:
    """Corners of what still covers a panel at an epoch."""
    (low, high), last = span, epochs + 0.5
    epoch = epoch if epoch < epochs else last
    bottom = max(low, LEAST) if high > 0 else low  # a logarithmic axis knows no zero
    return {"x": [epoch, last, last, epoch], "y": [bottom, bottom, high, high]}


def _veil(span: tuple[float, float], epochs: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        **_uncovered(span, epochs, epochs),
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": "rgba(138, 148, 156, 0.45)",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _rows(panels: list[str]) -> int:
    return -(-len(panels) // min(2, len(panels)))


def _panels(panels: list[str], mask_rows: int) -> go.Figure:
    """Panels, two abreast, over rows of three pictures."""
    span = GRID // min(2, len(panels))
    wide = [{"colspan": span}] + [None] * (span - 1)
    narrow = ([{"colspan": GRID // 3}] + [None] * (GRID // 3 - 1)) * 3
    specs = [wide * (GRID // span)] * _rows(panels) + [narrow] * mask_rows
    blanks = [""] * (_rows(panels) * (GRID // span) - len(panels))
    return make_subplots(
        len(specs), GRID, specs=specs, subplot_titles=panels + blanks, horizontal_spacing=0.07, vertical_spacing=0.5 / GRID
    )


def _place(panel: str, panels: list[str]) -> tuple[int, int]:
    index = panels.index(panel)
    columns = min(2, len(panels))
    return index // columns + 1, index % columns * (GRID // columns) + 1


def _axes(grid: go.Figure, place: tuple[int, int]) -> dict[str, str]:
    """What a trace calls the axes of a place in the grid."""
    x, y = grid.get_subplot(*place)
    return {"xaxis": x.plotly_name.replace("axis", ""), "yaxis": y.plotly_name.replace("axis", "")}


def _line(curve: Curve, label: str, is_shown: bool) -> dict[str, Any]:
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
        "showlegend": curve.panel == "loss",
        "visible": is_shown,
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
    # Words once, in the first panel, and to the left: the best epoch is often the last, and a phone's panels are narrow.
    words = [
        {
            "text": "best",
            "font": {"size": TEXT},
            "x": best_epoch(table),
            "xref": "x",
            "xanchor": "right",
            "y": 1,
            "yref": "y domain",
            "yshift": 14,
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


def _finish(figure: go.Figure, panels: list[str], mask_rows: int) -> go.Figure:
    finish(figure, height=ROW * (_rows(panels) + mask_rows) + 80)
    return figure.update_layout(**OVER_TITLES, margin_l=BESIDE)
