"""The training replay: curves of one or several runs, uncovered epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from resunet.charts.animation import OVER_TITLES, with_controls
from resunet.charts.masks_replay import SampleMasks
from resunet.charts.style import BESIDE, TEXT, finish, model_colour

SMOOTHINGS = {"No smoothing": 0.0, "Light": 0.6, "Strong": 0.9}
GRID, ROW = 6, 240  # columns, which panels and pictures share; pixels
LEAST = 1e-6  # of a loss on a logarithmic scale
CURVES = {
    "loss": ("train_loss", "val_loss"),
    "Dice": ("val_dice",),
    "IoU": ("val_iou",),
    "accuracy": ("val_accuracy",),
    "AUROC": ("val_auroc",),
    "learning rate": ("lr",),
}


class Curve(NamedTuple):
    """One line of the replay: which run and column, in which panel, one point per epoch."""

    run: str
    column: str
    panel: str
    points: npt.NDArray[np.float64]


def panels_of(histories: Mapping[str, pd.DataFrame]) -> list[str]:
    """The panels for which some run has a column."""
    columns = {column for table in histories.values() for column in table.columns}
    return [panel for panel, wanted in CURVES.items() if columns & set(wanted)]


def curves_of(histories: Mapping[str, pd.DataFrame], smoothing: float = 0.0) -> list[Curve]:
    """Every line there is; `smoothing` in [0, 1) is the weight of the past in a running average."""
    return [
        Curve(run, column, panel, smooth(table[column].to_numpy(float), smoothing))
        for panel in panels_of(histories)
        for run, table in histories.items()
        for column in CURVES[panel]
        if column in table
    ]


def smooth(values: npt.NDArray[np.float64], weight: float) -> npt.NDArray[np.float64]:
    """Exponential running average without the bias to its first value; weight 0 changes nothing."""
    result, total, mass = np.empty_like(values), 0.0, 0.0
    for index, value in enumerate(values):
        total, mass = weight * total + (1 - weight) * value, weight * mass + (1 - weight)
        result[index] = total / mass
    return result


def curves(histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> go.Figure:
    """All curves of all runs, whole, one panel per quantity; best epochs marked. For runs in training too.

    Args:
        histories: history.csv by run.
        labels: display names by run.
    """
    panels = panels_of(histories)
    figure = _panels(panels, 0)
    for curve in curves_of(histories):
        figure.add_trace(_line(curve, labels[curve.run], True), *_place(curve.panel, panels))
    _mark_best(figure, histories, panels)
    return _dress(figure, panels, 0)


def animation(histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str], masks: SampleMasks | None = None) -> go.Figure:
    """`curves`, uncovered epoch by epoch, over what a network outlined in sample slices meanwhile.

    Play, pause, the epoch, how smooth curves are and the loss's scale are the browser's; no server is asked.
    """
    panels, epochs = panels_of(histories), max(table["epoch"].size for table in histories.values())
    figure = _panels(panels, masks.rows if masks else 0)
    places = [_place(panel, panels) for panel in panels]
    smoothed = [curves_of(histories, weight) for weight in SMOOTHINGS.values()]
    traces: list[tuple[go.Scatter, tuple[int, int]]] = []
    for number, lines in enumerate(smoothed):
        traces += [(_line(curve, labels[curve.run], number == 0), _place(curve.panel, panels)) for curve in lines]
    spans = {panel: _span([curve for curve in smoothed[0] if curve.panel == panel]) for panel in panels}
    veils = list(range(len(traces), len(traces) + len(panels)))
    traces += [(_veil(spans[panel], epochs), place) for panel, place in zip(panels, places, strict=True)]
    if masks is not None:
        places += masks.places(_rows(panels))
        traces += [(trace, place) for trace, place in zip(masks.truths(), masks.places(_rows(panels)), strict=True)]
        outlines = list(range(len(traces), len(traces) + len(masks.titles)))
        traces += [(trace, place) for trace, place in zip(masks.last(), masks.places(_rows(panels)), strict=True)]
    figure.add_traces([trace for trace, _ in traces], *zip(*(place for _, place in traces), strict=True))
    figure.frames = [
        {
            "name": str(epoch),
            "traces": veils + (outlines if masks else []),
            "data": [_uncovered(spans[panel], epoch, epochs) for panel in panels] + (masks.at(epoch) if masks else []),
        }
        for epoch in range(1, epochs + 1)
    ]
    _mark_best(figure, histories, panels)
    _dress(figure, panels, masks.rows if masks else 0)
    for panel, (row, column) in zip(panels, places, strict=False):
        figure.update_yaxes(range=spans[panel], row=row, col=column)
        figure.update_xaxes(range=[0.5, epochs + 0.5], row=row, col=column)
    if masks is not None:
        masks.dress(figure, _rows(panels))
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


def _uncovered(span: tuple[float, float], epoch: float, epochs: int) -> dict[str, list[float]]:
    """Corners of what still covers a panel at an epoch."""
    (low, high), last = span, epochs + 0.5
    epoch = epoch if epoch < epochs else last
    bottom = max(low, LEAST) if high > 0 else low  # a logarithmic axis knows no zero
    return {"x": [epoch, last, last, epoch], "y": [bottom, bottom, high, high]}


def _veil(span: tuple[float, float], epochs: int) -> go.Scatter:
    return go.Scatter(
        **_uncovered(span, epochs, epochs),
        mode="lines",
        line_width=0,
        fill="toself",
        fillcolor="rgba(138, 148, 156, 0.45)",
        hoverinfo="skip",
        showlegend=False,
    )


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
    index, columns = panels.index(panel), min(2, len(panels))
    return index // columns + 1, index % columns * (GRID // columns) + 1


def _line(curve: Curve, label: str, is_shown: bool) -> go.Scatter:
    """The whole curve."""
    trained = curve.column.startswith("train")
    name = f"{label}, {curve.column.replace('train_', 'training ').replace('val_', 'validation ')}"
    return go.Scatter(
        x=np.arange(1, curve.points.size + 1),
        y=curve.points,
        mode="lines",
        line={"color": model_colour(curve.run), "width": 3, "dash": "dot" if trained else "solid"},
        name=name,
        legendgroup=curve.run,
        showlegend=curve.panel == "loss",
        visible=is_shown,
        hovertemplate="epoch %{x}: %{y:.4g}<extra>" + f"{name}</extra>",
    )


def best_epoch(history: pd.DataFrame) -> int:
    """The epoch whose weights are kept: highest validation Dice, or AUROC for a classifier."""
    column = "val_dice" if "val_dice" in history else "val_auroc"
    return int(history["epoch"].to_numpy()[history[column].to_numpy().argmax()])


def _mark_best(figure: go.Figure, histories: Mapping[str, pd.DataFrame], panels: list[str]) -> None:
    """A dashed line at each run's best epoch in every panel; all at once, since Plotly's `add_vline` takes seconds for many."""
    axes = [figure.get_subplot(*_place(panel, panels)) for panel in panels]
    lines = [
        {
            "type": "line",
            "xref": axis.xaxis.plotly_name.replace("axis", ""),
            "yref": f"{axis.yaxis.plotly_name.replace('axis', '')} domain",
            "x0": best_epoch(table),
            "x1": best_epoch(table),
            "y0": 0,
            "y1": 1,
            "line": {"color": model_colour(run), "dash": "dash", "width": 1},
        }
        for run, table in histories.items()
        for axis in axes
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
    figure.update_layout(shapes=lines, annotations=[*figure.layout.annotations, *words])


def _dress(figure: go.Figure, panels: list[str], mask_rows: int) -> go.Figure:
    finish(figure, height=ROW * (_rows(panels) + mask_rows) + 80)
    figure.update_layout(**OVER_TITLES, margin_l=BESIDE)
    for panel in panels[-min(2, len(panels)) :]:
        row, column = _place(panel, panels)
        figure.update_xaxes(title="epoch", row=row, col=column)
    return figure
