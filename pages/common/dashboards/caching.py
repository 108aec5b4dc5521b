"""Results computed once for all visitors, and never shared when they come from a visitor's own data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import FunctionType
from typing import Any, TypeVar

import streamlit as st

from resunet.evaluation.evaluation import Evaluation

KEPT_RESULTS = 256  # a figure or table holds 10 to 100 kB
T = TypeVar("T")
# Evaluations are told apart by their key, because hashing their tables takes longer than drawing the page.
KEYS: dict[str | type, Callable[[Any], Any]] = {
    Evaluation: attrgetter("key"),
    FunctionType: attrgetter("__module__", "__qualname__"),
}


def computed(build: Callable[..., T], *arguments: Any) -> T:
    """The result of a function of the package; callers must not change it.

    It is kept for all visitors who ask for the same, unless a private evaluation is among the arguments.
    """
    if any(map(_is_private, arguments)):
        return build(*arguments)
    kept: T = _kept(build, arguments)
    return kept


@st.cache_resource(max_entries=KEPT_RESULTS, show_spinner=False, hash_funcs=KEYS)
def _kept(build: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return build(*arguments)


def of_slices(build: Callable[..., T], evaluations: Evaluation | dict[str, Evaluation], *arguments: Any) -> T:
    """`computed`, for a function of slices.csv, or of several by name."""
    return computed(_apply, build, evaluations, *arguments)


def _apply(build: Callable[..., T], evaluations: Evaluation | dict[str, Evaluation], *arguments: Any) -> T:
    if isinstance(evaluations, Evaluation):
        return build(evaluations.slices, *arguments)
    return build({name: one.slices for name, one in evaluations.items()}, *arguments)


def _is_private(argument: Any) -> bool:
    if isinstance(argument, Mapping):
        return any(map(_is_private, argument.values()))
    if isinstance(argument, list | tuple | set | frozenset):
        return any(map(_is_private, argument))
    return isinstance(argument, Evaluation) and argument.is_private
