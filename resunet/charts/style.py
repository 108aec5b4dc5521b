"""The one look of all charts: colour-blind-safe colours, the same colour for the same model everywhere."""

from __future__ import annotations

import colorsys
import re
import zlib
from typing import Any

import numpy as np
import plotly.graph_objects as go

# Okabe and Ito's colours, told apart by colour-blind eyes and readable on white and on near-black.
BLUE, ORANGE, GREEN, RED, SKY, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8A949C"
# Four more, near Tol's muted ones.
WINE, TEAL, OLIVE, INDIGO = "#882255", "#44AA99", "#999933", "#7B6FD0"
HEIGHT = 360
TEXT = 14  # pixels, of all words in a chart
SHORT_LEGEND, LEGEND_ROW = 3, 22  # entries; pixels
BESIDE, BELOW = 64, 60  # pixels for the numbers and the title of an axis

# Colours of the bundled models; any other one gets a colour of its own, computed from its name.
MODEL_COLOURS = {
    "resunet_lite": BLUE,
    "resunet_lite_3d": ORANGE,
    "resunet": GREEN,
    "unet": RED,
    "unet_plus_plus": PURPLE,
    "seresunet": SKY,
    "resunet_plus": WINE,
    "agresunet": TEAL,
    "cnn_unet": OLIVE,
    "cnn": GREY,
    "resnet50": INDIGO,
}
RUN_SUFFIX = re.compile(r"_(fold\d+|slice|bce|dice|tversky|focal_tversky|seed\d+)(?=_|$)")


def model_colour(name: str) -> str:
    """The colour of a model, the same everywhere; ablations of a model share its colour."""
    base = RUN_SUFFIX.sub("", name.removeprefix("runs/"))
    if base in MODEL_COLOURS:
        return MODEL_COLOURS[base]
    # Hue from the name; lightness and saturation that no bundled model has and that both themes show.
    red, green, blue = colorsys.hls_to_rgb(zlib.crc32(base.encode()) % 360 / 360, 0.60, 0.85)
    return f"#{round(255 * red):02X}{round(255 * green):02X}{round(255 * blue):02X}"


def whiskers(value: Any, low: Any, high: Any) -> dict[str, Any]:
    """An interval as error bars that are seen on light and on dark; arrays or lists of the same length."""
    value, low, high = (np.asarray(part, float) for part in (value, low, high))
    return {"array": high - value, "arrayminus": value - low, "color": GREY}


def finish(figure: go.Figure, x: str | None = None, y: str | None = None, height: int = HEIGHT, **layout: Any) -> go.Figure:
    """Axis titles, margins and legend in the common style; returns the figure.

    A short legend stands above the chart; a long one, whose rows are not known before it is drawn, below it. Only axes with
    words on them or such a legend below measure the room they need: it takes the browser a second drawing.
    """
    named = sum(bool(trace.name) and trace.showlegend is not False for trace in figure.data)
    rows = LEGEND_ROW * -(-named // 3) if named > SHORT_LEGEND else 0  # pixels
    above = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    below = {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0}
    figure.update_layout(
        height=height + rows,
        margin={"l": BESIDE if y else 10, "r": 10, "t": 40, "b": BELOW + rows if x or rows else 10},
        legend=below if rows else above,
        hoverlabel={"align": "left"},
        font_size=TEXT,
        legend_font_size=TEXT,
        **layout,
    )
    for update, title, automargin in (
        (figure.update_xaxes, x, rows > 0 or any(_are_words(trace.x) for trace in figure.data)),
        (figure.update_yaxes, y, any(_are_words(trace.y) for trace in figure.data)),
    ):
        words = {"title_text": title} if title else {}
        update(tickfont_size=TEXT, title_font_size=TEXT, automargin=automargin, **words)
    return figure


def log_axis(figure: go.Figure) -> go.Figure:
    """A logarithmic x axis of counts, with ticks at 1, 2 and 5 of each power of ten and no small ones between."""
    ticks = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
    return figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks])


def _are_words(values: Any) -> bool:
    return values is not None and len(values) > 0 and isinstance(values[0], str)
