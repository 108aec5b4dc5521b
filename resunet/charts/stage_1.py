"""Charts of stage 1: confusion matrix, ROC, precision-recall, reliability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from resunet.charts.style import BLUE, GREEN, GREY, ORANGE, RED, SKY, finish
from resunet.evaluation.aggregate import calibration_bins, ranking_scores
from resunet.evaluation.overlap import ratio

CELLS = {
    (True, True): "true positives",
    (False, True): "false negatives",
    (True, False): "false positives",
    (False, False): "true negatives",
}  # by prediction and truth


def _truth_and_p(slices: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return slices["tumour_pixels"].to_numpy() > 0, slices["p_tumour"].to_numpy(float)


def _at_every_threshold(truth: np.ndarray, p_tumour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hits and false alarms among the slices above each threshold: none, then one more distinct probability each."""
    order = np.argsort(-p_tumour, kind="stable")
    ends = np.flatnonzero(np.diff(p_tumour[order], append=-np.inf))
    hits, false_alarms = (np.append(0, kind[order].cumsum()[ends]) for kind in (truth, ~truth))
    return hits, false_alarms


def confusion(slices: pd.DataFrame, threshold: float) -> go.Figure:
    """Slices by truth and prediction as four squares."""
    truth, p_tumour = _truth_and_p(slices)
    positive = p_tumour >= threshold
    cells = [
        (predicted, actual, int(np.sum((positive == predicted) & (truth == actual))))
        for actual in (True, False)
        for predicted in (True, False)
    ]
    colours = [GREEN if predicted == actual else RED if predicted else SKY for predicted, actual, _ in cells]
    figure = go.Figure()
    figure.add_scatter(
        x=["predicted tumour" if predicted else "predicted none" for predicted, _, _ in cells],
        y=["tumour" if actual else "no tumour" for _, actual, _ in cells],
        mode="markers+text",
        marker={"symbol": "square", "size": 96, "color": colours, "opacity": 0.85},
        text=[f"<b>{count}</b><br>{CELLS[predicted, actual]}" for predicted, actual, count in cells],
        textfont={"color": "white", "size": 14},
        hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )
    figure.update_xaxes(range=[-0.6, 1.6])
    figure.update_yaxes(range=[-0.6, 1.6])
    return finish(figure, f"Stage 1 at {threshold:.2f}, n = {len(slices)} slices", None)


def roc(slices: pd.DataFrame, threshold: float) -> go.Figure:
    """ROC curve with the operating point."""
    truth, p_tumour = _truth_and_p(slices)
    hits, false_alarms = _at_every_threshold(truth, p_tumour)
    auroc = ranking_scores(truth, p_tumour, np.ones((1, len(truth))))[0][0]
    positive = p_tumour >= threshold
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, name="chance")
    label = f"AUROC {auroc:.3f}"
    false_rate, true_rate = ratio(false_alarms, false_alarms[-1]), ratio(hits, hits[-1])
    figure.add_scatter(x=false_rate, y=true_rate, mode="lines", line={"color": BLUE, "width": 3}, name=label)
    _operating_point(figure, float(positive[~truth].mean()), float(positive[truth].mean()), threshold)
    label = f"False positives, share of {int((~truth).sum())} empty slices"
    return finish(figure, label, f"Found, share of {int(truth.sum())}")


def precision_recall(slices: pd.DataFrame, threshold: float) -> go.Figure:
    """Precision-recall curve with the operating point and the share of tumour slices as the floor."""
    truth, p_tumour = _truth_and_p(slices)
    hits, false_alarms = _at_every_threshold(truth, p_tumour)
    average = ranking_scores(truth, p_tumour, np.ones((1, len(truth))))[1][0]
    recall, precision = ratio(hits, hits[-1]), ratio(hits, hits + false_alarms, 1.0)
    positive = p_tumour >= threshold
    figure = go.Figure()
    figure.add_hline(y=float(truth.mean()), line={"color": GREY, "dash": "dot"})
    label = f"average precision {average:.3f}"
    figure.add_scatter(x=recall, y=precision, mode="lines", line={"color": BLUE, "width": 3}, name=label)
    if positive.any():
        _operating_point(figure, float(positive[truth].mean()), float(truth[positive].mean()), threshold)
    figure.update_yaxes(range=[0, 1.03])
    return finish(figure, f"Recall over {int(truth.sum())} tumour slices", "Precision")


def reliability(slices: pd.DataFrame) -> go.Figure:
    """What share of slices shows a tumour, against the predicted probability, in bins of equal width."""
    truth, p_tumour = _truth_and_p(slices)
    bins = pd.DataFrame({"observed": truth, "predicted": p_tumour}).groupby(calibration_bins(p_tumour))
    means, counts = bins.mean(), bins.size()
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, name="perfect")
    figure.add_scatter(
        x=means["predicted"],
        y=means["observed"],
        mode="lines+markers",
        line={"color": BLUE, "width": 3},
        marker={"size": 10},
        name="stage 1",
        customdata=counts,
        hovertemplate="predicted %{x:.2f}, observed %{y:.2f}<br>%{customdata} slices<extra></extra>",
    )
    return finish(figure, f"Predicted P(tumour), n = {len(slices)} slices", "Share that shows a tumour")


def _operating_point(figure: go.Figure, x: float, y: float, threshold: float) -> None:
    figure.add_scatter(
        x=[x], y=[y], mode="markers", marker={"size": 14, "color": ORANGE, "symbol": "diamond"}, name=f"at {threshold:.2f}"
    )
