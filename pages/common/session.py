"""Values that last as long as a visit."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import streamlit as st

T = TypeVar("T")


def remembered(name: str, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` gave for `key`; it is called again once the key is another."""
    known, value = st.session_state.get(name, (None, None))
    if known != key:
        value = make()
        st.session_state[name] = key, value
    return value  # type: ignore[no-any-return]


def recall(name: str, key: Hashable) -> object | None:
    """What was kept for `key`, or None."""
    known, value = st.session_state.get(name, (None, None))
    return value if known == key else None


def keep(name: str, key: Hashable, value: object) -> None:
    """Put a value there; another key's makes room."""
    st.session_state[name] = key, value


def forget(*names: str) -> None:
    """Let go of values."""
    for name in names:
        st.session_state.pop(name, None)
