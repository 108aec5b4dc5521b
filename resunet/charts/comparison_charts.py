"""Charts of several models on the same slices: cost against Dice, paired differences, patient by patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from resunet.charts.metric_charts import cases, patient_table
from resunet.charts.style import BLUE, GREY, ORANGE, SKY, finish, model_colour, whiskers
from resunet.evaluation.compare import p_text
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.external import EXTERNAL_SET, TEST_SET
from resunet.evaluation.sweep import volume_dice_at_each

COSTS = {"parameters": "Parameters, millions", "gflop": "GFLOP per slice", "latency": "Milliseconds per slice"}
NEAR = 0.015  # Dice; dots of one cost closer than this share a label
QUARTERS = tuple(f"lesion_sensitivity_q{quarter}" for quarter in range(1, 5))


def cost_against_dice(
    costs: Mapping[str, float], evaluations: Mapping[str, Evaluation], cost: str, reference: str
) -> go.Figure:
    """Mean volume Dice against a cost; a line joins the models that no other beats on both, and dots carry their names.

    Args:
        costs: by model, in the unit that COSTS says.
        evaluations: by model; models without a cost are left out.
        cost: key of COSTS.
        reference: the model that stands out.
    """
    measured = {name: one.summary["metrics"]["volume_dice_mean"] for name, one in evaluations.items() if name in costs}
    figures = {name: figure for name, figure in measured.items() if math.isfinite(figure["value"])}
    points = [(costs[name], float(figure["value"]), name) for name, figure in figures.items()]
    if not points:
        return finish(go.Figure(), COSTS[cost], "Volume Dice, which is undefined on these slices", 420)
    front = pareto_front(points)
    best = {name for *_, name in front}
    figure = go.Figure()
    figure.add_scatter(
        x=[x for x, _, _ in front],
        y=[y for _, y, _ in front],
        mode="lines",
        line={"color": SKY, "dash": "dot"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[x for x, _, _ in points],
        y=[y for _, y, _ in points],
        mode="markers+text",
        marker={"size": 14, "color": [BLUE if name == reference else SKY if name in best else GREY for *_, name in points]},
        text=_labels([(x, y, evaluations[name].display_name) for x, y, name in points]),
        textposition="bottom center",
        customdata=[evaluations[name].display_name for *_, name in points],
        hovertemplate="%{customdata}<br>%{x:.3g}, Dice %{y:.3f}<extra></extra>",
        cliponaxis=False,
    )
    low, high = min(points)[0], max(points)[0]
    room = 0.15 * (high - low) or 0.5 * high  # for names
    figure.update_xaxes(range=[low - room, high + room])
    finish(figure, COSTS[cost], f"Volume Dice, mean over n = {next(iter(figures.values()))['n']} patients", 420)
    return figure.update_layout(showlegend=False)


def _labels(points: Sequence[tuple[float, float, str]]) -> list[str]:
    """A label for each point (x, y, name): dots that nearly touch share one, below the lowest."""
    width = max(x for x, _, _ in points) - min(x for x, _, _ in points)
    labels = [""] * len(points)
    left = sorted(range(len(points)), key=lambda index: points[index][1])
    while left:
        x, y, _ = points[left[0]]
        near = [index for index in left if abs(points[index][0] - x) <= 0.08 * width and points[index][1] - y < NEAR]
        labels[left[0]] = "<br>".join(points[index][2] for index in reversed(near))
        left = [index for index in left[1:] if index not in near]
    return labels


def pareto_front(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """The points (cost, value, name) that no cheaper or equal one reaches, by rising cost."""
    front: list[tuple[float, float, str]] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def forest(paired: pd.DataFrame, labels: Mapping[str, str], reference: str) -> go.Figure:
    """Each model's paired difference from the reference with its interval; p after Holm's correction beside it.

    Args:
        paired: a `paired_table`.
        labels: display names by model.
        reference: display name of the model that the others are compared with.
    """
    table = paired.sort_values("difference", ignore_index=True)
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": ORANGE, "dash": "dot"}, annotation_text=reference)
    figure.add_scatter(
        x=table["difference"],
        y=table["model"].map(labels),
        mode="markers+text",
        text=[f"p {p_text(p)}" for p in table["p_holm"]],
        textposition="top center",
        marker={"size": 13, "color": [model_colour(name) for name in table["model"]]},
        error_x=whiskers(table["difference"], table["low"], table["high"]),
        customdata=table[["wins", "ties", "losses", "effect"]],
        hovertemplate="%{y}: %{x:+.3f}<br>%{customdata[0]} wins, %{customdata[1]} ties, %{customdata[2]} losses<br>"
        "effect %{customdata[3]:.2f}<extra></extra>",
        showlegend=False,
    )
    figure.update_yaxes(range=[-0.5, len(table) - 0.3])
    patients = int(table["n"].iloc[0]) if len(table) else 0
    return finish(figure, f"Difference of volume Dice from {reference}, n = {patients} patients", None, 140 + 60 * len(table))


def patient_by_patient(first: Evaluation, second: Evaluation) -> go.Figure:
    """Volume Dice of each patient under two models; above the diagonal the second is better."""
    both = patient_table(first.slices).merge(patient_table(second.slices), on="patient", suffixes=("", "_second"))
    low = min(0.4, float(both[["dice", "dice_second"]].min().min()) - 0.05)
    figure = go.Figure()
    figure.add_scatter(x=[low, 1], y=[low, 1], mode="lines", line={"color": GREY, "dash": "dot"}, showlegend=False)
    figure.add_scatter(
        x=both["dice"],
        y=both["dice_second"],
        mode="markers",
        marker={"size": 12, "color": model_colour(second.model)},
        customdata=cases(both, "worst_slice_second"),
        name=f"patients (n = {len(both)})",
        hovertemplate="%{customdata[2]}<br>%{x:.3f} against %{y:.3f}<extra></extra>",
    )
    figure.update_xaxes(range=[low, 1.02])
    figure.update_yaxes(range=[low, 1.02])
    return finish(figure, f"Volume Dice, {first.display_name}", f"Volume Dice, {second.display_name}", 420)


def test_and_external(table: pd.DataFrame, labels: Mapping[str, str]) -> go.Figure:
    """Mean volume Dice of each model on the test set and on external patients, with intervals, best there at the top.

    Args:
        table: an `external_table`.
        labels: display names by model.
    """
    order = table[table["set"] == EXTERNAL_SET].sort_values("mean")["model"].tolist()
    figure = go.Figure()
    for name, colour in ((TEST_SET, GREY), (EXTERNAL_SET, BLUE)):
        rows = table[table["set"] == name].set_index("model").loc[order]
        figure.add_scatter(
            x=rows["mean"],
            y=[labels[model] for model in order],
            mode="markers",
            name=f"{name} (n = {rows['n'].iloc[0]} patients)",
            marker={"size": 12, "color": colour},
            error_x=whiskers(rows["mean"], rows["low"], rows["high"]),
            customdata=rows["median"],
            hovertemplate="%{y}: mean %{x:.3f}, median %{customdata:.3f}<extra></extra>",
        )
    return finish(figure, "Volume Dice, mean over patients", None, 120 + 44 * len(order), scattermode="group")


def lesions_by_size(evaluations: Mapping[str, Evaluation], reference: str) -> go.Figure:
    """Share of lesions found, quarter by quarter of their area: one model with its intervals, the others as grey dots."""
    found = {
        name: [one.summary["metrics"][quarter] for quarter in QUARTERS]
        for name, one in evaluations.items()
        if QUARTERS[0] in one.summary["metrics"]  # no slice with a tumour, no lesions
    }
    figure = go.Figure()
    for label, one in (("the others", False), (evaluations[reference].display_name, True)):
        names = [name for name in found if (name == reference) == one]
        shown = [(name, index, share) for name in names for index, share in enumerate(found[name])]
        figure.add_scatter(
            x=[f"quarter {index + 1}<br>n = {share['n']}" for _, index, share in shown],
            y=[share["value"] for *_, share in shown],
            mode="markers",
            name=label,
            marker={"size": 14, "color": BLUE} if one else {"size": 11, "color": GREY, "opacity": 0.5},
            error_y=whiskers(*([share[end] for *_, share in shown] for end in ("value", "low", "high"))) | {"visible": one},
            customdata=[evaluations[name].display_name for name, *_ in shown],
            hovertemplate="%{customdata}: %{y:.2f}<extra></extra>",
        )
    figure.update_yaxes(range=[0, 1.03])
    return finish(figure, "Lesions by area, smallest quarter first", "Share found", 400)


def dice_by_threshold(evaluations: Sequence[Evaluation]) -> go.Figure:
    """Mean volume Dice of each model over the threshold; a diamond at what validation chose. All have a sweep."""
    figure = go.Figure()
    for evaluation in evaluations:
        sweep = evaluation.sweep()
        assert sweep is not None
        chosen = evaluation.threshold
        colour = model_colour(evaluation.model)
        figure.add_scatter(
            x=sweep.thresholds,
            y=volume_dice_at_each(evaluation.slices, sweep),
            mode="lines",
            name=evaluation.display_name,
            line={"color": colour, "width": 2},
            hovertemplate=f"{evaluation.display_name}: %{{y:.3f}} at %{{x:.2f}}<extra></extra>",
        )
        if chosen is not None:
            value = evaluation.summary["metrics"]["volume_dice_mean"]["value"]
            marker = {"color": colour, "size": 11, "symbol": "diamond"}
            figure.add_scatter(x=[chosen], y=[value], mode="markers", marker=marker, showlegend=False, hoverinfo="skip")
    return finish(figure, "Threshold", "Volume Dice, mean over patients", 420)


def ladder(evaluations: Mapping[str, Evaluation], against: Mapping[str, str], reference: str) -> go.Figure:
    """Mean volume Dice of every model, the best on top; the reference and what is not told from it stand out.

    Args:
        against: what a paired test says of each other model (`significance_labels`).
    """
    rows = [(name, one.display_name, one.summary["metrics"]["volume_dice_mean"]) for name, one in evaluations.items()]
    rows.sort(key=lambda row: row[2]["value"])
    colours = [BLUE if name == reference else GREY if against.get(name) == "worse" else SKY for name, *_ in rows]
    values, lows, highs = ([figure[end] for *_, figure in rows] for end in ("value", "low", "high"))
    figure = go.Figure()
    figure.add_scatter(
        x=values,
        y=[label for _, label, _ in rows],
        mode="markers",
        marker={"size": 15, "color": colours},
        error_x=whiskers(values, lows, highs),
        showlegend=False,
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    finish(figure, "Mean volume Dice, 95 % interval", None, 80 + 28 * len(rows))
    words = [f"{label}  <b>{value:.3f}</b>" for value, (_, label, _) in zip(values, rows, strict=True)]
    return figure.update_layout(margin_t=10).update_yaxes(tickvals=[label for _, label, _ in rows], ticktext=words)
