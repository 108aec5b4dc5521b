"""Results computed once for all visitors, and never shared when they come from a visitor's own data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

import streamlit as st

from pages.common import own
from pages.common.kept import Kept

KEPT_RESULTS = 256  # a figure or table holds 10 to 100 kB
T = TypeVar("T")


class Result(NamedTuple):
    """A result, and what it was made from: while that is kept, no other object can have its identity."""

    value: Any
    arguments: tuple[Any, ...]


@st.cache_resource(show_spinner=False)
def _kept() -> tuple[Kept[Result], threading.RLock]:
    """The results, and the lock of whoever computes one."""
    return Kept(KEPT_RESULTS, lambda result: 1), threading.RLock()


def once(protocol: str, compute: Callable[..., T], *arguments: Any) -> T:
    """What `compute` makes of its arguments; neither may be changed by whoever gets it.

    Kept for all visitors who ask for the same, except where `protocol` says that a visitor's own data are in it: those
    leave nothing behind. Tables and figures are the same when they are the same object, as the loaders and this function
    give them out: hashing their contents took longer than drawing the page.
    """
    if protocol == own.PROTOCOL:
        return compute(*arguments)
    kept, computing = _kept()
    key = (compute.__module__, compute.__qualname__, _identity(arguments))
    found = kept.get(key)
    if found is None:
        with computing:
            found = kept.get(key) or kept.put(key, Result(compute(*arguments), arguments))
    result: T = found.value
    return result


def _identity(argument: Any) -> Hashable:
    """Plain values and what is made of them by value, everything else by identity."""
    if argument is None or isinstance(argument, str | int | float):
        return type(argument), argument
    if isinstance(argument, list | tuple):
        return type(argument), tuple(_identity(part) for part in argument)
    if isinstance(argument, dict):
        return dict, tuple((key, _identity(value)) for key, value in argument.items())
    return type(argument), id(argument)
