"""How the whole app looks: its style sheet, its name in the header, and the switch that makes text larger for a room."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

HERE = Path(__file__)
STYLE = HERE.with_name("app.css").read_text(encoding="utf-8")
STAGE = HERE.with_name("stage.css").read_text(encoding="utf-8")
PHONE_MENU = st.components.v2.component("phone_menu", js=HERE.with_name("phone_menu.js").read_text(encoding="utf-8"))
PRESENTER = "presenter"
LARGER = 1.5


def apply_theme(screen: str) -> None:
    """Style sheet, name, menu and switch; called once for every page, with the screen's title."""
    st.logo(HERE.with_name("logo.svg"), size="large")
    if PRESENTER not in st.session_state:
        st.session_state[PRESENTER] = PRESENTER in st.query_params  # so that a reload keeps it
    st.html(f"<style>{STYLE}{STAGE if is_on() else ''}</style>")
    with st.container(key="presenter_switch"):
        st.toggle("Presenter", key=PRESENTER)
        PHONE_MENU(data={"screen": screen}, key="phone_menu")
    if is_on():
        st.query_params[PRESENTER] = "on"
    else:
        st.query_params.pop(PRESENTER, None)


def is_on() -> bool:
    """Whether this visitor has asked for larger text."""
    return bool(st.session_state.get(PRESENTER, False))
