"""Parts of a screen as tabs, of which only the open one is made and drawn; the address names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st


def show_parts(parts: Mapping[str, Callable[[], None]]) -> None:
    """One tab a part, by its title; the first is open at the start.

    The browser draws every chart anew whose data have changed, seen or not, so a slider over six charts waits for all six.
    """
    for tab, draw in zip(st.tabs(list(parts), key="part", bind="query-params"), parts.values(), strict=True):
        if tab.open:
            with tab:
                draw()
