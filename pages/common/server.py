"""What the server does before anybody comes."""

import ctypes
import gc
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress

import streamlit as st

from resunet.catalogue import FLAGSHIP
from resunet.errors import InputError
from resunet.inference.pipeline import TumourPipeline

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # from glibc's malloc.h
HEAPS = 2
LARGE = 64 << 10  # bytes
FIRST_SCREEN = 3  # seconds after the models are loaded


@asynccontextmanager
async def lifespan(server: st.App) -> AsyncIterator[None]:
    """The server's life: it begins to load the models in the background, settles after that, and serves."""
    from pages.common.models import start_loading  # not before the server runs: its caches ask for one

    start_loading().add_done_callback(settle)
    yield


def settle(loading: Future[TumourPipeline]) -> None:
    """With the models loaded, outline the samples, so that no visitor waits the seconds that it takes, and save memory.

    It waits, so that the first visitor's page renders first. Loaded objects are then exempt from garbage collection, which
    would pause every session for a tenth of a second.
    """
    time.sleep(FIRST_SCREEN)
    from pages.common.dashboards import sample_cases

    with suppress(InputError):  # whoever opens a screen is told
        sample_cases.find(FLAGSHIP)
        loading.result().save_memory()
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):  # without glibc nothing happens, as below
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def hide_warnings_of_start() -> None:
    """Leave out Streamlit's warnings that pages are declared outside a visit, which is done on purpose."""
    logger = logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context")
    logger.addFilter(lambda record: "missing ScriptRunContext" not in record.getMessage())


def keep_memory_small() -> None:
    """Let all threads share two heaps and keep large arrays out of them; without glibc nothing happens.

    Streamlit runs each action of a visitor in a thread, which would otherwise keep what it freed in a heap of its own.
    """
    with suppress(OSError, AttributeError):
        malloc = ctypes.CDLL("libc.so.6")
        malloc.mallopt(M_ARENA_MAX, HEAPS)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGE)
