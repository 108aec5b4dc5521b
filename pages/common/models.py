"""The models, loaded once for all visitors, in the background and from wherever they are."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from resunet.errors import InputError
from resunet.hub import FLAGSHIP, STAGE_1, find_model, find_or_fetch
from resunet.memory import settle, use_few_heaps

if TYPE_CHECKING:
    from resunet.pipeline import TumourPipeline
    from resunet.stages import Stage2

FETCHING_SHOWN = 0.3  # seconds between two looks at how far a fetch has come
KEPT_TIMINGS = 64
SWITCH = 0.0005  # seconds


@dataclass
class Fetching:
    """How far the fetch of a model from the Hub has come, in bytes; `total` is 0 while none is under way."""

    name: str = ""
    done: int = 0
    total: int = 0


FETCHING = Fetching()


def pipeline() -> TumourPipeline:
    """The shared pipeline. Raises InputError, which is not kept, when a model cannot be loaded."""
    coming = warm_up()
    if not coming.done():
        with st.spinner("Loading the models, once for all visitors"):
            _show_fetching(coming)
    try:
        return coming.result()
    except InputError:
        warm_up.clear()
        raise


def _show_fetching(coming: Future[TumourPipeline]) -> None:
    """Wait for the models, with a bar where they come from the Hub."""
    place = st.empty()
    while wait([coming], FETCHING_SHOWN).not_done:
        if FETCHING.total:
            text = f"Fetching {FETCHING.name}: {FETCHING.done / 1e6:,.1f} of {FETCHING.total / 1e6:,.1f} MB"
            place.progress(min(1.0, FETCHING.done / FETCHING.total), text=text)
    place.empty()


@st.cache_resource(show_spinner=False)
def warm_up() -> Future[TumourPipeline]:
    """Start to load the pipeline in the background, once a server: importing torch takes longer than a page."""
    use_few_heaps()
    # A forward pass lets go of the interpreter at each of its 200 operations and waits this long for it each time somebody
    # else is drawing a page; the usual 5 ms would make a second of it.
    sys.setswitchinterval(SWITCH)
    # The browser often runs on the same cores. Compute threads that spin while they wait for one another (the default, read
    # once when PyTorch is imported) then hold the core that the other one needs: a forward pass takes four times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return worker().submit(_load)


@st.cache_resource(show_spinner=False)
def worker() -> ThreadPoolExecutor:
    """The one thread in which networks run: each thread that ran one would start, and keep, compute threads of its own."""
    return ThreadPoolExecutor(1)


def _load() -> TumourPipeline:
    import plotly.graph_objects  # noqa: F401 (every screen waits for it, so it goes before PyTorch, which takes seconds)

    from resunet.pipeline import TumourPipeline

    loaded = TumourPipeline.load(_folder(FLAGSHIP), _folder(STAGE_1))
    settle()
    return loaded


def _folder(name: str) -> Path:
    """Where the model is, fetched first where that is needed and allowed."""

    def watch(done: int, total: int) -> None:
        FETCHING.name, FETCHING.done, FETCHING.total = name, done, total

    try:
        return find_or_fetch(name, watch).path
    finally:
        FETCHING.total = 0


@st.cache_resource(max_entries=1, show_spinner="Loading the model")
def stage_2(name: str, changed: float) -> Stage2:
    """Stage 2 of a model; the flagship's is the pipeline's. Raises InputError."""
    from resunet.stages import Stage2

    return pipeline().stage_2 if name == FLAGSHIP else Stage2(find_model(name))


@st.cache_data(max_entries=KEPT_TIMINGS, show_spinner="Timing the models on this machine")
def latency_ms(name: str, changed: float) -> float:
    """Median milliseconds a slice of a model on this machine, measured once a server. Raises InputError."""
    from resunet.latency import latency_ms

    return latency_ms(stage_2(name, changed))


@st.cache_data(show_spinner=False)
def revision() -> str:
    """What identifies the two models; part of every cache key."""
    return "-".join(str(find_model(name).config()["sha256"])[:12] for name in (FLAGSHIP, STAGE_1))
