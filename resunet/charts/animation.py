"""Animation controls: play at three speeds, pause, and a scrubber. The browser plays the frames; no server is asked."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

STEPS = 6  # frames per epoch; at FRAME_MS a frame the curves move smoothly
FRAME_MS = 40
BELOW = 180  # pixels for scrubber and buttons
# The legend of a chart of panels stands over their titles.
OVER_TITLES = {"margin_t": 80, "legend": {"y": 1.0, "yanchor": "top", "yref": "container"}}
SPEEDS = {"half speed": 2.0, "play": 1.0, "double speed": 0.5}


def with_controls(figure: go.Figure, epochs: int, frame_ms: int = FRAME_MS) -> go.Figure:
    """Play at three speeds, pause, and a scrubber with one step per epoch."""
    buttons = [_button(label, None, frame_ms * factor) for label, factor in SPEEDS.items()]
    buttons.append(_button("pause", [None], 0))
    steps = [
        {"label": str(epoch + 1), "method": "animate", "args": [[f"{epoch:.2f}"], _animation_options(0)]}
        for epoch in range(epochs)
    ]
    controls = {
        "type": "buttons",
        "direction": "right",
        "showactive": False,
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 130},
        "buttons": buttons,
    }
    scrubber = {"active": epochs - 1, "steps": steps, "currentvalue": {"prefix": "epoch "}, "y": 0, "pad": {"t": 40}}
    figure.update_layout(updatemenus=[controls], sliders=[scrubber], margin={"b": BELOW}, height=figure.layout.height + BELOW)
    return figure


def _button(label: str, frames: list[None] | None, milliseconds: float) -> dict[str, Any]:
    return {"label": label, "method": "animate", "args": [frames, _animation_options(milliseconds)]}


def _animation_options(milliseconds: float) -> dict[str, Any]:
    return {
        "mode": "immediate",
        "fromcurrent": True,
        "frame": {"duration": milliseconds, "redraw": False},
        "transition": {"duration": 0},
    }
