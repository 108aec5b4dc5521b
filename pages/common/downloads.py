"""Files that are made when somebody asks for them."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from typing import Any

import streamlit as st


def download(label: str, make: Callable[[], str | bytes], file: str, **options: Any) -> None:
    """A button that saves what `make` returns as `file`; a click neither makes it early nor draws the page again."""
    st.download_button(label, make, file, mimetypes.guess_type(file)[0], on_click="ignore", **options)
