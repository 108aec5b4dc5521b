"""The models, loaded once for all visitors, in the background and from wherever they are."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from resunet.catalogue import FLAGSHIP, STAGE_1, find_model, find_or_fetch
from resunet.errors import InputError
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.stages import Stage2
from resunet.model_folder import ModelFolder

REFRESH_SECONDS = 0.3  # between two checks of how far a download has come


@dataclass
class Download:
    """How far the download of a model from the Hub has come, in bytes; `total` is 0 while none is under way."""

    name: str = ""
    done: int = 0
    total: int = 0


DOWNLOAD = Download()


def pipeline() -> TumourPipeline:
    """The shared pipeline. Raises InputError, which is not kept, when a model cannot be loaded."""
    loading = start_loading()
    if not loading.done():
        with st.spinner("Loading the models, once for all visitors"):
            _show_download(loading)
    try:
        return loading.result()
    except InputError:
        start_loading.clear()
        raise


def _show_download(loading: Future[TumourPipeline]) -> None:
    """Wait for the models, with a bar where they come from the Hub."""
    place = st.empty()
    while wait([loading], REFRESH_SECONDS).not_done:
        if DOWNLOAD.total:
            text = f"Downloading {DOWNLOAD.name}: {DOWNLOAD.done / 1e6:,.1f} of {DOWNLOAD.total / 1e6:,.1f} MB"
            place.progress(min(1.0, DOWNLOAD.done / DOWNLOAD.total), text=text)
    place.empty()


@st.cache_resource(show_spinner=False)
def start_loading() -> Future[TumourPipeline]:
    """Start to load the pipeline in the background, once per server."""
    return ThreadPoolExecutor(1).submit(_load)


def _load() -> TumourPipeline:
    return TumourPipeline.load(_folder(FLAGSHIP), _folder(STAGE_1))


def _folder(name: str) -> Path:
    """Where the model is, downloaded first where that is needed and allowed."""

    def on_progress(done: int, total: int) -> None:
        DOWNLOAD.name, DOWNLOAD.done, DOWNLOAD.total = name, done, total

    try:
        return find_or_fetch(name, on_progress).path
    finally:
        DOWNLOAD.total = 0


def stage_2(name: str) -> Stage2:
    """Stage 2 of a model; the flagship's is the pipeline's. Raises InputError."""
    return pipeline().stage_2 if name == FLAGSHIP else _stage_2(str(find_model(name).path), _digests(name))


def pipeline_of(name: str) -> TumourPipeline:
    """A model behind stage 1, where its gate was chosen with it. Raises InputError."""
    loaded = stage_2(name)
    return TumourPipeline(loaded, pipeline().stage_1 if loaded.config.gate else None)


@st.cache_resource(max_entries=2, show_spinner="Loading the model")  # the volume model, and that for contrast-enhanced T1
def _stage_2(folder: str, digests: str) -> Stage2:
    return Stage2(ModelFolder(Path(folder)))


def _digests(name: str) -> str:
    """What changes when a model's files do."""
    return "-".join(digest[:12] for digest in find_model(name).config().sha256.values())


@st.cache_data(show_spinner=False)
def revision() -> str:
    """What identifies the two models; part of every key of a prediction."""
    return revision_of(FLAGSHIP)


def revision_of(name: str) -> str:
    """What identifies a segmentation model with stage 1."""
    return f"{_digests(name)}-{_digests(STAGE_1)}"
