"""Components that act in the browser: the HTML, CSS and JavaScript beside a module, under the module's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

SHARED = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def component_of(module: str) -> Callable[..., Any]:
    """The component of a module, given its `__file__`, from the files of its name."""
    parts = {suffix: Path(module).with_suffix(f".{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")}
    parts["js"] = SHARED + parts["js"]
    return st.components.v2.component(Path(module).stem, **parts)
