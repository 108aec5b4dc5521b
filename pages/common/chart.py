"""Every chart of the app: a title, the picture (its toolbar saves a PNG) and its data as CSV."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.common import theme as presenter
from pages.common.downloads import download
from resunet.charts.chart_files import chart_table, safe_csv
from resunet.charts.style import TEXT


def chart(figure: go.Figure, key: str, title: str, selectable: bool = False) -> Any:
    """Draw a chart under its title; with `selectable`, returns the visitor's selection of points."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.markdown(f"**{title}**", width="content")
        download(
            "CSV",
            lambda: safe_csv(chart_table(figure)),
            f"{key}.csv",
            key=f"{key}_csv",
            icon=":material/download:",
            type="tertiary",
            help="The chart's data. The toolbar over the chart saves it as PNG.",
        )
    if presenter.is_on():
        size = TEXT * presenter.LARGER
        figure = go.Figure(figure).update_layout(
            font_size=size, legend_font_size=size
        )  # copy: the cached figure is shared between sessions
        figure.update_xaxes(tickfont_size=size, title_font_size=size).update_yaxes(tickfont_size=size, title_font_size=size)
    config = {"displaylogo": False, "toImageButtonOptions": {"format": "png", "filename": key, "scale": 2}}
    if not selectable:
        return st.plotly_chart(figure, key=key, config=config)
    return st.plotly_chart(figure, key=key, config=config, on_select="rerun", selection_mode="points")
