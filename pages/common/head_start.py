"""What the server does before anybody comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st


@asynccontextmanager
async def head_start(server: st.App) -> AsyncIterator[None]:
    """The server's life: it begins to load the models in the background, and then serves."""
    from pages.common.models import warm_up  # not before the server runs: its caches ask for one

    warm_up()
    yield
