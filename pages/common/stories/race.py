"""A race: two networks learn the same slices, epoch by epoch, and end on the one that is hardest to learn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import streamlit as st

from pages.common import loaders
from pages.common.component import component_of
from resunet.charts import overlay
from resunet.charts.style import model_colour
from resunet.data.samples import REPLAY, Sample, load_samples
from resunet.game.scoring import outlines_of, score
from resunet.model_folder import HISTORY, ModelFolder

RACE = component_of(__file__)
RUNNERS = 2  # that race
KEPT = 24  # pairs; one holds some hundred kB
SLICES = {"large_1": "A large tumour", "small_5": "A small one", "faint_1": "A faint one"}
LEARNT, ALIKE, FLAT = 0.5, 0.01, 0.004  # two Dice; how far an outline is simplified, as a share of its length


class Runner(NamedTuple):
    """A training run: its name, what people read for it, its folder, and when its history changed."""

    name: str
    label: str
    folder: Path
    changed: float


@st.cache_data(show_spinner=False, max_entries=KEPT)
def race_data(runners: tuple[Runner, ...]) -> dict[str, Any] | None:
    """What the browser plays: the first two runs with pictures of the slices; None where no run has any. Raises InputError."""
    samples = {sample.name: sample for sample in load_samples(REPLAY)}
    slices = [samples[name] for name in SLICES]
    able = (course for runner in runners if (course := _course(runner, slices)) is not None)
    courses = list(itertools.islice(able, RUNNERS))
    if not courses:
        return None
    last = [[dice[-1] for dice in course["dice"]] for course in courses]
    hardest = int(np.max(last, axis=0).argmin())
    pictures = [np.repeat(each.image[..., 1:2], 3, axis=2) for each in slices]
    return {
        "runners": courses,
        "slices": [
            {"name": SLICES[each.name], "image": overlay.jpeg_uri(picture), "truth": outlines_of(each.mask)}
            for each, picture in zip(slices, pictures, strict=True)
        ],
        "hardest": hardest,
        "words": {
            "during": "Orange: outlined after this epoch. Dashed blue: the true outline. Curves: Dice on validation patients.",
            "end": _ending(list(SLICES.values())[hardest], [dice[hardest] for dice in last]),
        },
    }


def _message(best: dict[str, float]) -> str:
    """Who learns more, by the best Dice of each network on validation patients."""
    if len(best) == 1:
        return f"{next(iter(best))} learns three slices"
    (first, high), (second, low) = sorted(best.items(), key=lambda item: -item[1])
    how = "as much as" if high - low < ALIKE else "more than"
    return f"{first} learns {how} {second}: Dice {high:.2f} against {low:.2f} on validation patients"


def _ending(slice_name: str, dice: list[float]) -> str:
    """What the race ends on."""
    figures = " and ".join(f"{figure:.2f}" for figure in dice)
    if max(dice) < LEARNT:
        learnt = f"{'Neither learns' if len(dice) > 1 else 'It does not learn'} this one ({slice_name.lower()})"
    else:
        learnt = f"{'Both learn' if len(dice) > 1 else 'It learns'} all three; the hardest"
    return f"{learnt}: Dice {figures} after the last epoch. The slices are simulated."


def _course(runner: Runner, slices: list[Sample]) -> dict[str, Any] | None:
    """One network's outlines and Dice by slice and epoch, and its curve; None where it has none of these slices."""
    folder = ModelFolder(runner.folder)
    kept, history = loaders.snapshots(folder), loaders.history(folder)
    if kept is None or history is None or not {each.name for each in slices} <= set(kept[0]):
        return None
    known, masks = kept
    outlines, dices = [], []
    for each in slices:
        of_epochs = [masks[epoch, known.index(each.name)] for epoch in range(len(masks))]
        scale = each.mask.shape[0] // of_epochs[0].shape[0]
        truth = each.mask[::scale, ::scale]
        outlines.append([[_simple(outline) for outline in outlines_of(mask)] for mask in of_epochs])
        dices.append([round(score(mask, truth), 3) for mask in of_epochs])
    return {
        "name": runner.label,
        "colour": model_colour(runner.name),
        "epochs": len(masks),
        "outlines": outlines,
        "dice": dices,
        "curve": [float(value) for value in history["val_dice"]],
    }


def _simple(outline: list[list[float]]) -> list[list[float]]:
    """The outline with the points that the eye sees."""
    points = np.array(outline, np.float32)[:, None]
    return cv2.approxPolyDP(points, FLAT * cv2.arcLength(points, True), True)[:, 0].round(3).tolist()


def show(runs: Mapping[str, ModelFolder], label_of: Callable[[str], str]) -> None:
    """The race of the first two of the runs that have pictures, under its message. Raises InputError."""
    runners = [Runner(name, label_of(name), run.path, loaders.stamp(run.path / HISTORY)) for name, run in runs.items()]
    data = race_data(tuple(runners))
    if data is None:
        st.info("No pictures of these runs: a classifier outlines nothing, and a volume model needs neighbouring slices.")
        return
    st.subheader(_message({course["name"]: float(np.nanmax(course["curve"])) for course in data["runners"]}), anchor=False)
    RACE(data=data, key="race")
