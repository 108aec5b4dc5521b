"""The one look of all charts: colour-blind-safe colours, the same colour for the same model everywhere."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

# Okabe and Ito's colours, told apart by colour-blind eyes and readable on white and on near-black.
BLUE, ORANGE, GREEN, RED, SKY, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8A949C"
# Three of Tol's muted colours fill up to one colour a model.
WINE, TEAL, OLIVE = "#882255", "#44AA99", "#999933"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, WINE, TEAL, OLIVE, GREY)
HEIGHT = 360

# Not read from the registry of models, which needs torch; a test keeps the two together.
MODEL_NAMES = (
    "resunet_deep",
    "resunet",
    "unet",
    "unet_plus_plus",
    "seresunet",
    "resunet_plus",
    "agresunet",
    "cnn_unet",
    "cnn",
    "resnet50",
)


def model_colour(name: str) -> str:
    """The colour of a model, by its place in the list of architectures; runs of an architecture share its colour."""
    for index, known in enumerate(MODEL_NAMES):
        if name == known:
            return PALETTE[index % len(PALETTE)]
    longest = max((known for known in MODEL_NAMES if name.startswith(known)), key=len, default=None)
    return model_colour(longest) if longest else GREY


def finish(figure: go.Figure, x: str | None = None, y: str | None = None, height: int = HEIGHT, **layout: Any) -> go.Figure:
    """Axis titles, margins and legend in the common style; returns the figure."""
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "y": 1.14, "x": 0},
        hoverlabel={"align": "left"},
        **layout,
    )
    figure.update_xaxes(title=x, automargin=True)
    figure.update_yaxes(title=y, automargin=True)
    return figure
