"""A dot for each patient of an evaluation, from the worst to the best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from resunet.charts.metric_charts import cases, patient_table
from resunet.charts.style import BLUE, GREY, ORANGE, finish
from resunet.evaluation.overlap import volumes

SMALLEST, LARGEST = 9, 34  # pixels, diameter of a dot
GAP = 3  # dots' widths between groups
QUARTERS = ("Smallest quarter", "Second quarter", "Third quarter", "Largest quarter")


def size_quarters(slices: pd.DataFrame) -> dict[str, str]:
    """The quarter of all tumours, by volume, in which each patient's lies; patients without a tumour are left out."""
    pixels = slices.groupby("patient")["tumour_pixels"].sum()
    ranks = pixels[pixels > 0].rank(pct=True, method="first")
    return {str(name): QUARTERS[min(3, int(4 * (share - 1e-9)))] for name, share in ranks.items()}


def patient_wall(slices: pd.DataFrame, readers: float | None = None, group: Mapping[str, str] | None = None) -> go.Figure:
    """Volume Dice of each patient in ascending order, the dot as large as the tumour.

    Args:
        readers: the Dice of two human readers, drawn as a line; dots above it are coloured.
        group: the group of each patient, e.g. its site, drawn one beside the other; who has none is "not known".
    """
    table = patient_table(slices).dropna(subset="dice").sort_values(["dice", "patient"])
    counts = volumes(slices).loc[table["patient"]]
    tumour = (counts["tp"] + counts["fn"]).to_numpy(float)
    names = [(group or {}).get(name, "not known") for name in table["patient"]] if group else [""] * len(table)
    order = sorted(set(names), key=lambda name: QUARTERS.index(name) if name in QUARTERS else -1) if group else [""]
    place, middles = np.zeros(len(table)), list[float]()
    start = 0
    for name in order:
        members = np.flatnonzero(np.array(names) == name)
        place[members] = start + np.arange(len(members))
        middles.append(start + (len(members) - 1) / 2)
        start += len(members) + GAP
    area = np.sqrt(tumour / max(1.0, tumour.max(initial=1.0)))
    above = table["dice"].to_numpy() > (readers if readers is not None else -1)
    hover = cases(table, "worst_slice").assign(
        found=[f"{share:.0%}" for share in counts["tp"].to_numpy() / tumour],
        invented=[f"{share:.0%}" for share in counts["fp"].to_numpy() / tumour],
    )
    figure = go.Figure()
    figure.add_scatter(
        x=place,
        y=table["dice"],
        mode="markers",
        customdata=hover,
        marker={
            "size": SMALLEST + (LARGEST - SMALLEST) * area,
            "color": np.where(above, BLUE, GREY),
            "opacity": 0.8,
            "line": {"width": 1, "color": "white"},
        },
        showlegend=False,
        hovertemplate="%{customdata[2]}<br>Dice %{y:.2f}: found %{customdata[3]} of the tumour, "
        "invented %{customdata[4]}<extra></extra>",
    )
    if readers is not None:
        words = {"annotation_text": f"two readers {readers:.2f}", "annotation_position": "bottom right"}
        figure.add_hline(y=readers, line={"color": ORANGE, "dash": "dot", "width": 3}, **words)
    figure.update_yaxes(range=[min(0.4, float(table["dice"].min()) - 0.06) if len(table) else 0, 1.03])
    ticks = {"tickvals": middles, "ticktext": [f"{name} ({names.count(name)})" for name in order]} if group else {}
    figure.update_xaxes(range=[-2, start - GAP + 1], showgrid=False, zeroline=False, showticklabels=bool(group), **ticks)
    return finish(figure, None if group else "Patients, from the worst to the best", "Volume Dice", 380)


def wall_title(slices: pd.DataFrame, readers: float | None = None) -> str:
    """What the dots say, in one sentence."""
    dice = patient_table(slices)["dice"].dropna()
    if readers is None:
        return f"{int((dice > 0.5).sum())} of {len(dice)} patients have a Dice above 0.5"
    closer = int((dice > readers).sum())
    return f"{closer} of {len(dice)} patients are outlined more closely than two human readers agree ({readers:.2f})"
