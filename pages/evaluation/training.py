"""Training replay: how the networks learned, epoch by epoch, and what they made of the sample slices meanwhile."""

import time

import pandas as pd
import streamlit as st

from pages.common import loaders
from pages.common.chart import chart
from pages.common.downloads import download
from pages.common.messages import show_error
from pages.common.stories import race
from resunet.catalogue import FLAGSHIP, find_model, list_runs
from resunet.charts.chart_files import safe_csv
from resunet.charts.training_curves import SMOOTHINGS, curves
from resunet.errors import InputError
from resunet.model_folder import HISTORY, REPOSITORY, ModelFolder

RUNS = REPOSITORY / "runs"
REFRESH_SECONDS = 3  # between two readings of a run in training
RECENT = 600  # seconds since its last line for which a run counts as in training
SHOWN_FIRST, MOST = ("resunet", FLAGSHIP), 6


def folders() -> dict[str, ModelFolder]:
    """Bundled runs and those in training that have a history, by name, the flagship first."""
    runs = {name: find_model(name) for name in sorted(list_runs(), key=lambda name: (name != FLAGSHIP, name))}
    runs |= {f"runs/{path.parent.name}": ModelFolder(path.parent) for path in sorted(RUNS.glob("*/history.csv"))}
    return {name: folder for name, folder in runs.items() if (folder.path / HISTORY).exists()}


def label_of(name: str) -> str:
    """What people read for a run; one in training may have no configuration yet."""
    return name if name.startswith("runs/") else loaders.display_name(name)


def histories_of(chosen: dict[str, ModelFolder]) -> dict[str, pd.DataFrame]:
    """The runs' tables as of now."""
    return {name: table for name, folder in chosen.items() if (table := loaders.history(folder)) is not None}


@st.fragment
def history(chosen: dict[str, ModelFolder]) -> None:
    """All curves of the runs, whole."""
    histories = histories_of(chosen)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        smoothing = st.segmented_control("Smoothing", list(SMOOTHINGS), default="None", required=True, key="smoothing")
        log_loss = st.toggle("Logarithmic loss", key="log_loss")
    figure = curves(histories, {name: label_of(name) for name in histories}, SMOOTHINGS[smoothing], log_loss)
    chart(figure, "curves", "Dotted: training, solid: validation")
    table = next(iter(histories.values()))
    download("History as CSV", lambda: safe_csv(table), HISTORY)


@st.fragment(run_every=REFRESH_SECONDS)
def live(chosen: dict[str, ModelFolder]) -> None:
    """The curves of runs that are still being written, read again and again."""
    histories = histories_of(chosen)
    chart(curves(histories, {name: label_of(name) for name in histories}), "live", "Curves so far")
    latest = {name: int(table["epoch"].iloc[-1]) for name, table in histories.items()}
    st.caption(
        ", ".join(f"{label_of(name)}: epoch {epoch}" for name, epoch in latest.items())
        + f". Read again every {REFRESH_SECONDS} seconds."
    )


def in_training(runs: dict[str, ModelFolder]) -> bool:
    """Whether something has written a history within the last minutes."""
    written = (loaders.stamp(folder.path / HISTORY) for name, folder in runs.items() if name.startswith("runs/"))
    return any(time.time() - stamp < RECENT for stamp in written)


st.title("Training replay", anchor=False)
try:
    runs = folders()
    if not runs:
        st.info("No training history yet. Run: resunet train --recipe resunet --data DIR")
    else:
        stage = st.container()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
            names = st.multiselect(
                "Runs, six at most; the first two race",
                list(runs),
                [name for name in SHOWN_FIRST if name in runs] or [next(iter(runs))],
                format_func=label_of,
                key="runs",
                placeholder="Choose a run",
                max_selections=MOST,
            )
            watch = in_training(runs) and st.toggle("Watch live", key="live_watch", help="Follow a run in training")
        chosen = {name: runs[name] for name in names}
        if not chosen:
            st.info("Choose at least one run.")
        elif watch:
            live(chosen)
        else:
            with stage:
                race.show(chosen, label_of)
            history(chosen)
except InputError as error:
    show_error(error)
