"""The app's story in one chart: the same recipe under two split schemes and four averages, beside what the paper reports."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from resunet.charts.style import BLUE, ORANGE, PURPLE, finish, whiskers
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.evaluation import Evaluation

REPORTED_DICE = 0.98
AVERAGES = ("volume_dice_mean", "tumour_slice_dice", "pooled_dice", "all_slice_dice")


def story(by_scheme: Mapping[str, Evaluation]) -> go.Figure:
    """Dice of one recipe by average, one row of dots per split scheme.

    Args:
        by_scheme: its evaluation under each split scheme, in words.
    """
    figure = go.Figure()
    for (scheme, evaluation), colour in zip(by_scheme.items(), (BLUE, PURPLE), strict=False):
        metrics = [evaluation.summary["metrics"][name] for name in AVERAGES]
        values, lows, highs = ([metric[end] for metric in metrics] for end in ("value", "low", "high"))
        figure.add_scatter(
            x=values,
            y=[LABELS[name] for name in AVERAGES],
            mode="markers",
            name=scheme,
            marker={"size": 13, "color": colour},
            error_x=whiskers(values, lows, highs),
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    words = {"annotation_text": f"the paper: {REPORTED_DICE}", "annotation_position": "top left"}
    figure.add_vline(x=REPORTED_DICE, line={"color": ORANGE, "dash": "dot", "width": 3}, **words)
    figure.update_yaxes(autorange="reversed")
    return finish(figure, "Dice of the same recipe", None, 360, scattermode="group")
