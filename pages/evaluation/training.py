"""Training replay: how the networks learned, epoch by epoch, and what they made of the sample slices meanwhile."""

import time
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.common import loaders
from pages.common.chart import chart
from pages.common.downloads import download
from pages.common.messages import show_error
from pages.common.stories import race
from resunet.catalogue import FLAGSHIP, find_model, list_runs
from resunet.charts import replay
from resunet.charts.chart_files import safe_csv
from resunet.charts.masks_replay import SampleMasks
from resunet.data.samples import REPLAY, load_samples
from resunet.errors import InputError
from resunet.model_folder import HISTORY, REPOSITORY, SNAPSHOTS, ModelFolder

RUNS = REPOSITORY / "runs"
KEPT_ANIMATIONS = 12  # one holds about 1 MB
REFRESH_SECONDS = 3  # between two readings of a run in training
RECENT = 600  # seconds since its last line for which a run counts as in training
SHOWN_FIRST, MOST = "resunet", 6  # a run from scratch, which learns most before one's eyes


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


def replayed(chosen: dict[str, ModelFolder]) -> None:
    """Curves and masks as one animation that the browser plays by itself."""
    histories = histories_of(chosen)
    first = next((name for name, folder in chosen.items() if (folder.path / SNAPSHOTS).exists()), None)
    runs = tuple((name, str(chosen[name].path), loaders.stamp(chosen[name].path / HISTORY)) for name in histories)
    pictures = f"; below, what {label_of(first)} outlined in simulated slices" if first else ""
    chart(replay_of(runs, first), "curves", f"Dotted: training, solid: validation{pictures}")
    if first is None:
        st.info("No pictures of these runs: a classifier outlines nothing, and a volume model needs neighbouring slices.")
    table = next(iter(histories.values()))
    download("History as CSV", lambda: safe_csv(table), HISTORY)


@st.cache_resource(max_entries=KEPT_ANIMATIONS, show_spinner=False)
def replay_of(runs: tuple[tuple[str, str, float], ...], with_masks: str | None) -> go.Figure:
    """The replay of runs (name, folder, when its history changed), with the pictures of one of them."""
    chosen = {name: ModelFolder(Path(path)) for name, path, _ in runs}
    histories = histories_of(chosen)
    return replay.animation(
        histories, {name: label_of(name) for name in histories}, masks_of(chosen[with_masks]) if with_masks else None
    )


def masks_of(folder: ModelFolder) -> SampleMasks:
    """The replay's slices and what the run made of them."""
    kept = loaders.snapshots(folder)
    assert kept is not None
    samples = {sample.name: sample for sample in load_samples(REPLAY)}
    known, masks = kept
    names = [name for name in samples if name in known]
    scale = samples[names[0]].image.shape[0] // masks.shape[-1]
    return SampleMasks(
        [samples[name].image[::scale, ::scale, 1] for name in names],
        [samples[name].mask[::scale, ::scale] for name in names],
        masks[:, [known.index(name) for name in names]],
        [name.rpartition("_")[0].capitalize() for name in names],
    )


@st.fragment(run_every=REFRESH_SECONDS)
def live(chosen: dict[str, ModelFolder]) -> None:
    """The curves of runs that are still being written, read again and again."""
    histories = histories_of(chosen)
    chart(replay.curves(histories, {name: label_of(name) for name in histories}), "live", "Curves so far")
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
race.show()
try:
    runs = folders()
    if not runs:
        st.info("No training history yet. Run: resunet train --recipe resunet --data DIR")
    else:
        start = SHOWN_FIRST if SHOWN_FIRST in runs else next(iter(runs))
        with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
            names = st.multiselect(
                "Runs, six at most",
                list(runs),
                [start],
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
            replayed(chosen)
except InputError as error:
    show_error(error)
