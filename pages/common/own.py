"""Evaluations that a visitor ran on data of their own: in this visit's memory only, gone when the visit ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from resunet.data.slices import Slice
from resunet.evaluation.sweep import Sweep
from resunet.files import PackedMasks

PROTOCOL = "own"
_KEY = "own_evaluations"


@dataclass(frozen=True)
class Own:
    """What `ModelFolder` would hold of the evaluation, and the slices themselves."""

    summary: dict[str, Any]
    slices: pd.DataFrame
    sweep: Sweep
    masks: PackedMasks | None
    records: Sequence[Slice]
    seen_in_training: Sequence[str]  # patients


def keep(model: str, found: Own) -> None:
    """Remember the evaluation until the visit ends; a newer one of the same model takes its place."""
    st.session_state.setdefault(_KEY, {})[model] = found


def kept(model: str) -> Own | None:
    """The visitor's evaluation of that model, if there is one."""
    found: dict[str, Own] = st.session_state.get(_KEY, {})
    return found.get(model)


def forget() -> None:
    """Drop all of them."""
    st.session_state.pop(_KEY, None)
