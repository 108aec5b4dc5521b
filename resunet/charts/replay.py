"""The training replay: curves of one or several runs that draw themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from resunet.charts.animation import OVER_TITLES, STEPS, with_controls
from resunet.charts.style import BESIDE, finish, model_colour

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


def curves_of(histories: Mapping[str, pd.DataFrame], smoothing: float) -> list[Curve]:
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


def curves(
    histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str], smoothing: float = 0.0, log_loss: bool = False
) -> go.Figure:
    """All curves of all runs, whole, one panel per quantity; best epochs marked. For runs in training too.

    Args:
        histories: history.csv by run.
        labels: display names by run.
        smoothing: as `curves_of`.
    """
    figure = _panels(panels_of(histories))
    for curve in curves_of(histories, smoothing):
        figure.add_trace(_line(curve, labels[curve.run]), *_place(curve.panel, panels_of(histories)))
    _mark_best(figure, histories)
    return _dress(figure, histories, log_loss)


def animation(
    histories: Mapping[str, pd.DataFrame], labels: Mapping[str, str], smoothing: float = 0.0, log_loss: bool = False
) -> go.Figure:
    """`curves` as an animation with play, pause, speeds and a scrubber over epochs; no server is asked while it runs."""
    lines, panels = curves_of(histories, smoothing), panels_of(histories)
    figure = curves(histories, labels, smoothing, log_loss)
    epochs = max(table["epoch"].size for table in histories.values())
    indices = list(range(len(lines)))
    figure.frames = [
        go.Frame(name=f"{step / STEPS:.2f}", traces=indices, data=[_points(curve, step / STEPS + 1) for curve in lines])
        for step in range((epochs - 1) * STEPS + 1)
    ]
    _fix_axes(figure, lines, panels, epochs, log_loss)
    return with_controls(figure, epochs)


def _panels(panels: list[str]) -> go.Figure:
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    return make_subplots(rows, columns, subplot_titles=panels, horizontal_spacing=0.16, vertical_spacing=0.16)


def _place(panel: str, panels: list[str]) -> tuple[int, int]:
    index, columns = panels.index(panel), min(2, len(panels))
    return index // columns + 1, index % columns + 1


def _points(curve: Curve, upto: float) -> dict[str, list[float]]:
    """x and y of the curve from epoch 1 to `upto`; between two epochs it ends on the straight line between them."""
    whole = min(int(upto), curve.points.size)
    x, y = [float(epoch) for epoch in range(1, whole + 1)], list(curve.points[:whole])
    if whole < curve.points.size and upto > whole:
        x.append(upto)
        y.append(curve.points[whole - 1] + (upto - whole) * (curve.points[whole] - curve.points[whole - 1]))
    return {"x": x, "y": y}


def _line(curve: Curve, label: str) -> go.Scatter:
    """The whole curve."""
    trained = curve.column.startswith("train")
    name = f"{label}, {curve.column.replace('train_', 'training ').replace('val_', 'validation ')}"
    return go.Scatter(
        **_points(curve, curve.points.size),
        mode="lines",
        line={"color": model_colour(curve.run), "width": 3, "dash": "dot" if trained else "solid"},
        name=name,
        legendgroup=curve.run,
        showlegend=curve.panel == "loss",
        hovertemplate="epoch %{x}: %{y:.4g}<extra>" + f"{name}</extra>",
    )


def best_epoch(history: pd.DataFrame) -> int:
    """The epoch whose weights are kept: highest validation Dice, or AUROC for a classifier."""
    column = "val_dice" if "val_dice" in history else "val_auroc"
    return int(history["epoch"].to_numpy()[history[column].to_numpy().argmax()])


def _mark_best(figure: go.Figure, histories: Mapping[str, pd.DataFrame]) -> None:
    for run, table in histories.items():
        best = best_epoch(table)
        figure.add_vline(x=best, line={"color": model_colour(run), "dash": "dash", "width": 1})
        # Once, in the first panel, and to the left: the best epoch is often the last, and a phone's panels are narrow.
        figure.add_annotation(
            text="best", font_size=11, x=best, xref="x", xanchor="right", y=1, yref="y domain", yshift=14, showarrow=False
        )


def _dress(figure: go.Figure, histories: Mapping[str, pd.DataFrame], log_loss: bool) -> go.Figure:
    panels = panels_of(histories)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    finish(figure, height=260 * rows + 80)
    figure.update_layout(**OVER_TITLES, margin_l=BESIDE)
    for column in range(columns):
        figure.update_xaxes(title="epoch", row=rows, col=column + 1)
    if log_loss:
        figure.update_yaxes(type="log", row=1, col=1)
    return figure


def _fix_axes(figure: go.Figure, lines: list[Curve], panels: list[str], epochs: int, log_loss: bool) -> None:
    """Ranges that hold for the whole animation, so that the axes stand still while the curves grow."""
    for panel in panels:
        values = np.concatenate([curve.points for curve in lines if curve.panel == panel])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        margin = 0.05 * (high - low or 1.0)
        span = [low - margin, high + margin]
        if panel == "loss" and log_loss:
            span = [np.log10(max(low, 1e-6)) - 0.05, np.log10(high) + 0.05]
        row, column = _place(panel, panels)
        figure.update_yaxes(range=span, row=row, col=column)
        figure.update_xaxes(range=[0.5, epochs + 0.5], row=row, col=column)
