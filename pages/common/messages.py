"""Sentences that may hold a visitor's file names: shown as they are, never as Markdown or HTML."""

from __future__ import annotations

import re

import streamlit as st

SPECIAL = re.compile(r"([\\`*_\[\]<>$~|]|:(?=\w))")


def plain(text: str) -> str:
    """The text with everything escaped that Streamlit's Markdown would read as formatting, links, maths or icons."""
    return SPECIAL.sub(r"\\\1", text)


def show_error(error: Exception) -> None:
    """One sentence in a red box."""
    st.error(plain(str(error)))
