"""Controls of the replay: play at three speeds, pause, the epoch, smoothing, the loss's scale. All of it the browser's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from resunet.charts.style import TEXT

FRAME_MS = 250  # of an epoch
# Pixels for the scrubber, the buttons over it and the choices over those: a phone is too narrow for both in a row.
CONTROLS, BUTTONS, CHOICES = 215, 120, 165
# The legend of a chart of panels stands over their titles.
OVER_TITLES = {"margin_t": 80, "legend": {"y": 1.0, "yanchor": "top", "yref": "container"}}
SPEEDS = {"Play": 1.0, "Slow": 2.0, "Fast": 0.5}


def with_controls(
    figure: go.Figure, epochs: int, shown: Mapping[str, list[bool]], loss: tuple[float, float] | None
) -> go.Figure:
    """Add the controls over the chart, under its legend.

    Args:
        shown: by the name of a smoothing, which of the first traces are seen.
        loss: the range of the first panel, where that is the loss, for its scale.
    """
    play = [_animate(label, None, FRAME_MS * factor) for label, factor in SPEEDS.items()]
    play.append(_animate("Pause", [None], 0))
    smooth = [
        {"label": name, "method": "restyle", "args": [{"visible": seen}, list(range(len(seen)))]}
        for name, seen in shown.items()
    ]
    menus = [_menu(play, 0, "buttons"), _menu(smooth, 0, "dropdown")]
    if loss is not None:
        logarithmic = [math.log10(max(loss[0], 1e-3 * loss[1])), math.log10(loss[1])]
        scales = {"Linear loss": ("linear", list(loss)), "Log loss": ("log", logarithmic)}
        menus.append(
            _menu(
                [
                    {"label": name, "method": "relayout", "args": [{"yaxis.type": kind, "yaxis.range": span}]}
                    for name, (kind, span) in scales.items()
                ],
                1.0,
                "dropdown",
            )
        )
    steps = [{"label": str(epoch), "method": "animate", "args": [[str(epoch)], _options(0)]} for epoch in range(1, epochs + 1)]
    scrubber = {"active": epochs - 1, "steps": steps, "currentvalue": {"prefix": "epoch ", "font": {"size": TEXT}}}
    scrubber |= {"y": 1, "yanchor": "bottom", "pad": {"b": 25}}
    height = figure.layout.height + CONTROLS
    top = figure.layout.margin.t + CONTROLS
    figure.update_layout(updatemenus=menus, sliders=[scrubber], margin_t=top, height=height)
    return figure


def _menu(buttons: list[dict[str, Any]], x: float, kind: str) -> dict[str, Any]:
    """A row of buttons, or a choice, over the scrubber."""
    return {
        "type": kind,
        "direction": "right" if kind == "buttons" else "down",
        "showactive": kind == "dropdown",
        "x": x,
        "xanchor": "left" if x == 0 else "right",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": BUTTONS if kind == "buttons" else CHOICES},
        "font": {"color": "#14212b", "size": TEXT},
        "bgcolor": "#f1f5f8",
        "buttons": buttons,
    }


def _animate(label: str, frames: list[None] | None, milliseconds: float) -> dict[str, Any]:
    return {"label": label, "method": "animate", "args": [frames, _options(milliseconds)]}


def _options(milliseconds: float) -> dict[str, Any]:
    return {
        "mode": "immediate",
        "fromcurrent": True,
        "frame": {"duration": milliseconds, "redraw": False},
        "transition": {"duration": 0},
    }
