"""How the whole app looks: its style sheet, its name in the header, and the switch that makes text larger for a room."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

HERE = Path(__file__)
STYLE = HERE.with_name("app.css").read_text(encoding="utf-8")
PRESENTER = "presenter"
LARGER = 1.5


def apply_theme() -> None:
    """Style sheet, name and switch; called once for every page."""
    st.logo(HERE.with_name("logo.svg"), size="large")
    larger = f"html {{ font-size: {100 * LARGER:.0f}%; }}" if is_on() else ""
    st.html(f"<style>{STYLE}{larger}</style>")
    with st.container(key="presenter_switch"):
        st.toggle("Presenter", key=PRESENTER)


def is_on() -> bool:
    """Whether this visitor has asked for larger text."""
    return bool(st.session_state.get(PRESENTER, False))
