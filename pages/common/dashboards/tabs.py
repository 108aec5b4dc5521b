"""Tabs of which only the open one is made and drawn; the address names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st


@st.fragment
def show_tabs(tabs: Mapping[str, Callable[[], None]]) -> None:
    """One tab per title; the first is open at the start.

    The browser draws every chart again whose data have changed, seen or not, so a slider over six charts waits for all six.
    A fragment, because nothing around the tabs changes with the open one.
    """
    for tab, draw in zip(st.tabs(list(tabs), key="tab", bind="query-params"), tabs.values(), strict=True):
        if tab.open:
            with tab:
                draw()
