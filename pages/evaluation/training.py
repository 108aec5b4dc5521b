"""Training replay: how the networks learned, epoch by epoch, and what they made of the sample slices meanwhile."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.common import loaders
from pages.common.chart import chart
from pages.common.messages import show_error
from resunet.artifacts import REPOSITORY, ModelFolder
from resunet.charts import replay
from resunet.charts.export import safe_csv
from resunet.charts.masks_replay import masks_animation
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.hub import FLAGSHIP, find_model, list_models

RUNS = REPOSITORY / "runs"
SHOWN = ("large_1", "typical_2", "cavity_1", "faint_1", "small_2", "small_5")
KEPT_FILMS = 12  # a film holds about 1 MB
EVERY = 3  # seconds between two looks at a run in training


def folders() -> dict[str, ModelFolder]:
    """Bundled models and runs in training that have a history, by label, the flagship first."""
    found = {name: find_model(name) for name in sorted(list_models(), key=lambda name: (name != FLAGSHIP, name))}
    found |= {f"runs/{path.parent.name}": ModelFolder(path.parent) for path in sorted(RUNS.glob("*/history.csv"))}
    return {label: folder for label, folder in found.items() if folder.history_path.exists()}


def histories_of(chosen: dict[str, ModelFolder]) -> dict[str, pd.DataFrame]:
    """The runs' tables as of now."""
    return {label: table for label, folder in chosen.items() if (table := loaders.history(folder)) is not None}


def replayed(chosen: dict[str, ModelFolder], smoothing: float, log_loss: bool) -> None:
    """Curves and masks as animations that the browser plays by itself."""
    histories = histories_of(chosen)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        runs = tuple((label, str(chosen[label].path), loaders.stamp(chosen[label].history_path)) for label in histories)
        chart(curves_film(runs, smoothing, log_loss), "curves", "Curves (dotted: training, solid: validation)")
    with right:
        label = next((name for name, folder in chosen.items() if folder.snapshots_path.exists()), None)
        if label is None:
            st.info("These runs kept no snapshots of the sample slices: a classifier outlines nothing.")
            return
        film = masks_film(chosen[label].path, loaders.stamp(chosen[label].snapshots_path))
        chart(film, "masks", f"What {label} outlined after each epoch (simulated slices)")
    first = next(iter(histories.values()))
    st.download_button("History as CSV", lambda: safe_csv(first), "history.csv", "text/csv", on_click="ignore")


@st.cache_resource(max_entries=KEPT_FILMS, show_spinner=False)
def curves_film(runs: tuple[tuple[str, str, float], ...], smoothing: float, log_loss: bool) -> go.Figure:
    """The curves of runs (label, folder, when its history changed); drawing the frames takes most of a second."""
    return replay.animation(histories_of({label: ModelFolder(Path(path)) for label, path, _ in runs}), smoothing, log_loss)


@st.cache_resource(max_entries=KEPT_FILMS, show_spinner=False)
def masks_film(path: Path, changed: float) -> go.Figure:
    """The sample slices' animation of one run."""
    kept = loaders.snapshots(ModelFolder(path))
    assert kept is not None
    samples = {sample.name: sample for sample in load_samples()}
    known, masks = kept
    names = [name for name in SHOWN if name in known]
    rows = [known.index(name) for name in names]
    scale = samples[names[0]].image.shape[0] // masks.shape[-1]
    images = [samples[name].image[::scale, ::scale, 1] for name in names]
    truths = [samples[name].mask[::scale, ::scale] for name in names]
    return masks_animation(images, truths, masks[:, rows], [name.replace("_", " ").capitalize() for name in names])


@st.fragment(run_every=EVERY)
def live(chosen: dict[str, ModelFolder], smoothing: float, log_loss: bool) -> None:
    """The curves of runs that are still being written, looked at again and again."""
    histories = histories_of(chosen)
    chart(replay.curves(histories, smoothing, log_loss), "live", "Curves so far")
    latest = {label: int(table["epoch"].iloc[-1]) for label, table in histories.items()}
    st.caption(", ".join(f"{label}: epoch {epoch}" for label, epoch in latest.items()) + f". Looked at every {EVERY} seconds.")


st.title("Training replay", anchor=False)
try:
    there = folders()
    if not there:
        st.info("No training history yet. Run: resunet train --recipe resunet --data DIR")
    else:
        names = st.multiselect("Runs", list(there), [next(iter(there))], key="runs", placeholder="Choose a run")
        with st.container(horizontal=True, vertical_alignment="center", gap="large"):
            smoothing = st.slider("Smoothing", 0.0, 0.95, 0.0, 0.05, key="smoothing", width=260)
            log_loss = st.toggle("Loss on a log scale", key="log_loss")
            watch = st.toggle("Watch live", key="live_watch", help="Follow history.csv of a run in training")
        chosen = {name: there[name] for name in names}
        if not chosen:
            st.info("Choose at least one run.")
        elif watch:
            live(chosen, smoothing, log_loss)
        else:
            replayed(chosen, smoothing, log_loss)
except InputError as error:
    show_error(error)
