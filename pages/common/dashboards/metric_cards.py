"""Figures as cards: the same look and the same words wherever one stands."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from resunet.evaluation.definitions import DEFINITIONS


def metric_card(label: str, name: str, figure: dict[str, Any], how: str) -> None:
    """One figure of a summary: value, interval and n; the tooltip says how it is taken and, as `how`, how to take it again."""
    n = f"n = {figure['n']:,} {figure['unit']}s"
    help_text = f"{DEFINITIONS[name]}. 95 % interval, patients resampled. "
    if pd.isna(figure["value"]):
        _card(label, "–", n, help_text + "Not defined: this set has no such slices.")
        return
    interval = "" if pd.isna(figure["low"]) else f"{figure['low']:.3f} to {figure['high']:.3f}, "
    _card(label, f"{figure['value']:.3f}", interval + n, f"{help_text}{how}")


def reported_card(who: str, value: str, what: str, source: str) -> None:
    """A figure that others report, marked as such."""
    _card(f"Reported: {who}", value, what, f"Not measured here. {source}")


def _card(label: str, value: str, below: str, help_text: str) -> None:
    st.metric(label, value, delta=below, delta_color="off", delta_arrow="off", help=help_text, border=True)
