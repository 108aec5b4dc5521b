"""Figures as cards: the same look and the same words wherever one stands."""

from __future__ import annotations

from typing import Any

import streamlit as st

from resunet.evaluation.definitions import DEFINITIONS


def metric_card(label: str, name: str, figure: dict[str, Any], command: str) -> None:
    """One figure of a summary: value, interval and n; the tooltip says how it is taken and how to take it again."""
    st.metric(
        label,
        f"{figure['value']:.3f}",
        delta=f"{figure['low']:.3f} to {figure['high']:.3f}, n = {figure['n']:,} {figure['unit']}s",
        delta_color="off",
        delta_arrow="off",
        help=f"{DEFINITIONS[name]}. 95 % interval, patients resampled. Re-derive: {command}",
        border=True,
    )
