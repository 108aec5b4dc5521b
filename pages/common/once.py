"""Results computed once for all visitors, and never shared when they come from a visitor's own data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from pages.common import own

KEPT_RESULTS = 128  # a figure or table holds 10 to 100 kB
T = TypeVar("T")


def once(protocol: str, compute: Callable[..., T], *arguments: Any) -> T:
    """What `compute` makes of its arguments; not to be changed by whoever gets it.

    Kept for all visitors who ask for the same, except where `protocol` says that a visitor's own data are in it: those
    leave nothing behind.
    """
    if protocol == own.PROTOCOL:
        return compute(*arguments)
    result: T = _kept(f"{compute.__module__}.{compute.__qualname__}", compute, *arguments)
    return result


@st.cache_resource(max_entries=KEPT_RESULTS, show_spinner=False)
def _kept(name: str, _compute: Callable[..., Any], *arguments: Any) -> Any:
    return _compute(*arguments)
