"""Charts of one volume, slice by slice."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from resunet.charts.style import BESIDE, BLUE, ORANGE, finish

CLICKABLE: dict[str, Any] = {  # a line has no points to click, so it gets some that show when they are chosen
    "mode": "lines+markers",
    "hoveron": "points",  # not the filled area, which is no slice
    "marker": {"size": 10, "opacity": 0},
    "selected": {"marker": {"opacity": 1}},
    "unselected": {"marker": {"opacity": 0}},
}


def by_slice(table: pd.DataFrame, threshold: float) -> go.Figure:
    """Area of the mask and P(tumour) along the head.

    Args:
        table: of `volume_report.slices_table`.
        threshold: of stage 1 on its own.
    """
    known = table["area_mm2"].notna().all()
    area = table["area_mm2"] / 100 if known else table["tumour_pixels"]
    unit = "cm²" if known else "pixels"
    figure = go.Figure()
    figure.add_scatter(
        x=table["slice"],
        y=area,
        fill="tozeroy",
        line={"color": ORANGE, "width": 2},
        **CLICKABLE,
        name=f"outlined, {unit}",
        hovertemplate=f"slice %{{x}}: %{{y:.1f}} {unit}<extra></extra>",
    )
    figure.add_scatter(
        x=table["slice"],
        y=table["p_tumour"],
        yaxis="y2",
        line={"color": BLUE, "width": 2},
        **CLICKABLE,
        name="P(tumour), stage 1",
        hovertemplate="slice %{x}: P %{y:.2f}<extra></extra>",
    )
    figure.update_xaxes(showgrid=False)
    finish(figure, f"Axial slice, from the foot (n = {len(table)})", f"Outlined, {unit}")
    return figure.update_layout(
        margin_r=BESIDE,
        hovermode="x",  # a click anywhere is one on the nearest slice
        hoverdistance=-1,
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.03],
            "tickvals": [0, 0.5, 1],
            "showgrid": False,
            "title": f"P(tumour); yes from {threshold:.2f}",
        },
    )
