"""Sentences that may hold a visitor's file names: shown as they are, never as Markdown or HTML."""

from __future__ import annotations

import re

import streamlit as st

PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
JOINER = "\u2060"  # a character of no width: what stands on its two sides is no longer one word
# Links and icons are looked for in the text that is left when the escapes are gone.
WORDS = re.compile(r"^(?=\W)|(?<=www)(?=\.)|(?<=:)(?=[\w/+-])|(?=@)", re.IGNORECASE)


def escape_markdown(text: str) -> str:
    """The text on one line, with nothing that Streamlit's Markdown would read as formatting, link, maths, icon or emoji."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return PUNCTUATION.sub(r"\\\1", WORDS.sub(JOINER, line))


def show_error(error: Exception) -> None:
    """One sentence in a red box."""
    st.error(escape_markdown(str(error)))


def counted(number: int, thing: str) -> str:
    """'1 volume', '2 volumes'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
