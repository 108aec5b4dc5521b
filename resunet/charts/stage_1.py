"""Charts of stage 1: confusion matrix, ROC, precision-recall, reliability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from resunet.charts.style import BLUE, GREEN, GREY, ORANGE, RED, SKY, finish
from resunet.evaluation.aggregate import ECE_BINS


def _truth_and_p(slices: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return slices["tumour_pixels"].to_numpy() > 0, slices["p_tumour"].to_numpy(float)


def confusion(slices: pd.DataFrame, threshold: float) -> go.Figure:
    """Slices by truth and verdict as four squares (scatter markers, so that they can be clicked)."""
    truth, p_tumour = _truth_and_p(slices)
    said = p_tumour >= threshold
    cells = [
        (said_, true_, int(np.sum((said == said_) & (truth == true_)))) for true_ in (True, False) for said_ in (True, False)
    ]
    colours = [GREEN if said_ == true_ else RED if said_ else SKY for said_, true_, _ in cells]
    names = {(True, True): "hits", (False, True): "missed", (True, False): "false alarms", (False, False): "rightly stopped"}
    figure = go.Figure()
    figure.add_scatter(
        x=["said tumour" if said_ else "said none" for said_, _, _ in cells],
        y=["tumour" if true_ else "no tumour" for _, true_, _ in cells],
        mode="markers+text",
        marker={"symbol": "square", "size": 96, "color": colours, "opacity": 0.85},
        text=[f"<b>{count}</b><br>{names[said_, true_]}" for said_, true_, count in cells],
        textfont={"color": "white", "size": 14},
        customdata=[[int(said_), int(true_)] for said_, true_, _ in cells],
        hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )
    figure.update_xaxes(range=[-0.6, 1.6])
    figure.update_yaxes(range=[-0.6, 1.6])
    return finish(figure, f"Stage 1 at {threshold:.2f}, n = {len(slices)} slices", None)


def roc(slices: pd.DataFrame, threshold: float) -> go.Figure:
    """ROC curve with the operating point."""
    truth, p_tumour = _truth_and_p(slices)
    false_rate, true_rate, _ = roc_curve(truth, p_tumour)
    said = p_tumour >= threshold
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, name="chance")
    label = f"AUROC {roc_auc_score(truth, p_tumour):.3f}"
    figure.add_scatter(x=false_rate, y=true_rate, mode="lines", line={"color": BLUE, "width": 3}, name=label)
    _operating_point(figure, float(said[~truth].mean()), float(said[truth].mean()), threshold)
    return finish(figure, f"False alarms, share of {int((~truth).sum())} empty slices", f"Found, share of {int(truth.sum())}")


def precision_recall(slices: pd.DataFrame, threshold: float) -> go.Figure:
    """Precision-recall curve with the operating point and the share of tumour slices as the floor."""
    truth, p_tumour = _truth_and_p(slices)
    precision, recall, _ = precision_recall_curve(truth, p_tumour)
    said = p_tumour >= threshold
    figure = go.Figure()
    figure.add_hline(y=float(truth.mean()), line={"color": GREY, "dash": "dot"})
    label = f"average precision {average_precision_score(truth, p_tumour):.3f}"
    figure.add_scatter(x=recall, y=precision, mode="lines", line={"color": BLUE, "width": 3}, name=label)
    if said.any():
        _operating_point(figure, float(said[truth].mean()), float(truth[said].mean()), threshold)
    figure.update_yaxes(range=[0, 1.03])
    return finish(figure, f"Recall over {int(truth.sum())} tumour slices", "Precision")


def reliability(slices: pd.DataFrame) -> go.Figure:
    """What share of slices shows a tumour, against what stage 1 said, in bins of equal width."""
    truth, p_tumour = _truth_and_p(slices)
    observed, said = calibration_curve(truth, p_tumour, n_bins=ECE_BINS)
    counts = np.histogram(p_tumour, bins=np.linspace(0, 1, ECE_BINS + 1))[0]
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, name="perfect")
    figure.add_scatter(
        x=said,
        y=observed,
        mode="lines+markers",
        line={"color": BLUE, "width": 3},
        marker={"size": 10},
        name="stage 1",
        customdata=counts[counts > 0],
        hovertemplate="said %{x:.2f}, observed %{y:.2f}<br>%{customdata} slices<extra></extra>",
    )
    return finish(figure, f"P(tumour) as stage 1 says it, n = {len(slices)} slices", "Share that shows a tumour")


def _operating_point(figure: go.Figure, x: float, y: float, threshold: float) -> None:
    figure.add_scatter(
        x=[x], y=[y], mode="markers", marker={"size": 14, "color": ORANGE, "symbol": "diamond"}, name=f"at {threshold:.2f}"
    )
