"""Plotly figures from tables; pure functions without state."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from resunet.data.splits import BUDA_TEN
from resunet.evaluation.metrics import table_dice, volumes

BLUE, ORANGE = "#0072B2", "#E69F00"


def patient_dice(slices: pd.DataFrame) -> go.Figure:
    """Volume Dice of each patient against tumour size, from a segmentation slices.csv.

    The ten patients with a published figure are filled.
    """
    patients = volumes(slices)
    patients["dice"], patients["tumour_pixels"] = table_dice(patients), patients["tp"] + patients["fn"]
    figure = go.Figure()
    for named, label in ((True, "published ten"), (False, "ten more")):
        part = patients[patients.index.isin(BUDA_TEN) == named]
        figure.add_scatter(
            x=part["tumour_pixels"],
            y=part["dice"],
            mode="markers",
            name=f"{label} (n = {len(part)})",
            text=part.index,
            hovertemplate="%{text}<br>Dice %{y:.3f}<br>%{x:,} tumour pixels<extra></extra>",
            marker={"size": 13, "color": BLUE, "symbol": "circle" if named else "circle-open", "line": {"width": 2}},
        )
    mean = float(patients["dice"].mean())
    figure.add_hline(y=mean, line={"dash": "dot", "color": ORANGE}, annotation_text=f"mean {mean:.3f}")
    figure.update_layout(
        height=380,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        xaxis={"title": "Tumour volume, pixels (log scale)", "type": "log"},
        yaxis={"title": "Volume Dice", "range": [min(0.4, float(patients["dice"].min()) - 0.05), 1.0]},
    )
    return figure
