"""Stories that the browser tells by itself: a component from the HTML, CSS and JavaScript beside a module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st


def story_component(module: str) -> Callable[..., Any]:
    """The component of a module, from the files of its name."""
    parts = {suffix: Path(module).with_suffix(f".{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")}
    return st.components.v2.component(Path(module).stem, **parts)
