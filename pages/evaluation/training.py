"""Training replay: how the networks learned, epoch by epoch, and what they made of the sample slices meanwhile."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.common import loaders
from pages.common.chart import chart
from pages.common.downloads import download
from pages.common.messages import show_error
from resunet.artifacts import HISTORY, REPOSITORY, SNAPSHOTS, ModelFolder
from resunet.charts import replay
from resunet.charts.export import safe_csv
from resunet.charts.masks_replay import masks_animation
from resunet.data.samples import REPLAY, load_samples
from resunet.errors import InputError
from resunet.hub import FLAGSHIP, find_model, list_runs

RUNS = REPOSITORY / "runs"
KEPT_ANIMATIONS = 12  # one holds about 1 MB
REFRESH_SECONDS = 3  # between two readings of a run in training


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


def replayed(chosen: dict[str, ModelFolder], smoothing: float, log_loss: bool) -> None:
    """Curves and masks as animations that the browser plays by itself."""
    histories = histories_of(chosen)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        runs = tuple((name, str(chosen[name].path), loaders.stamp(chosen[name].path / HISTORY)) for name in histories)
        chart(curves_animation(runs, smoothing, log_loss), "curves", "Curves (dotted: training, solid: validation)")
    with right:
        first = next((name for name, folder in chosen.items() if (folder.path / SNAPSHOTS).exists()), None)
        if first is None:
            st.info("No snapshots of the sample slices: a classifier outlines nothing, and a volume model needs neighbours.")
            return
        animation = masks_of_run(chosen[first].path, loaders.stamp(chosen[first].path / SNAPSHOTS))
        chart(animation, "masks", f"What {label_of(first)} outlined after each epoch (simulated slices)")
    table = next(iter(histories.values()))
    download("History as CSV", lambda: safe_csv(table), "history.csv")


@st.cache_resource(max_entries=KEPT_ANIMATIONS, show_spinner=False)
def curves_animation(runs: tuple[tuple[str, str, float], ...], smoothing: float, log_loss: bool) -> go.Figure:
    """The curves of runs (name, folder, when its history changed); drawing the frames takes most of a second."""
    histories = histories_of({name: ModelFolder(Path(path)) for name, path, _ in runs})
    return replay.animation(histories, {name: label_of(name) for name in histories}, smoothing, log_loss)


@st.cache_resource(max_entries=KEPT_ANIMATIONS, show_spinner=False)
def masks_of_run(path: Path, changed: float) -> go.Figure:
    """The sample slices' animation of one run."""
    kept = loaders.snapshots(ModelFolder(path))
    assert kept is not None
    samples = {sample.name: sample for sample in load_samples(REPLAY)}
    known, masks = kept
    names = [name for name in samples if name in known]
    rows = [known.index(name) for name in names]
    scale = samples[names[0]].image.shape[0] // masks.shape[-1]
    images = [samples[name].image[::scale, ::scale, 1] for name in names]
    truths = [samples[name].mask[::scale, ::scale] for name in names]
    return masks_animation(images, truths, masks[:, rows], [name.replace("_", " ").capitalize() for name in names])


@st.fragment(run_every=REFRESH_SECONDS)
def live(chosen: dict[str, ModelFolder], smoothing: float, log_loss: bool) -> None:
    """The curves of runs that are still being written, read again and again."""
    histories = histories_of(chosen)
    chart(replay.curves(histories, {name: label_of(name) for name in histories}, smoothing, log_loss), "live", "Curves so far")
    latest = {name: int(table["epoch"].iloc[-1]) for name, table in histories.items()}
    st.caption(
        ", ".join(f"{label_of(name)}: epoch {epoch}" for name, epoch in latest.items())
        + f". Read again every {REFRESH_SECONDS} seconds."
    )


st.title("Training replay", anchor=False)
try:
    runs = folders()
    if not runs:
        st.info("No training history yet. Run: resunet train --recipe resunet --data DIR")
    else:
        names = st.multiselect(
            "Runs", list(runs), [next(iter(runs))], format_func=label_of, key="runs", placeholder="Choose a run"
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="large"):
            smoothing = st.slider("Smoothing", 0.0, 0.95, 0.0, 0.05, key="smoothing", width=260)
            log_loss = st.toggle("Loss on a log scale", key="log_loss")
            watch = st.toggle("Watch live", key="live_watch", help="Follow history.csv of a run in training")
        chosen = {name: runs[name] for name in names}
        if not chosen:
            st.info("Choose at least one run.")
        elif watch:
            live(chosen, smoothing, log_loss)
        else:
            replayed(chosen, smoothing, log_loss)
except InputError as error:
    show_error(error)
