"""A race: two networks learn the same slices, epoch by epoch, and end on what neither learns."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import streamlit as st

from pages.common import loaders
from pages.common.component import component_of
from resunet.catalogue import FLAGSHIP, find_model
from resunet.charts import overlay
from resunet.charts.style import model_colour
from resunet.data.samples import REPLAY, Sample, load_samples
from resunet.errors import InputError
from resunet.game.scoring import outlines_of, score
from resunet.model_folder import HISTORY

RACE = component_of(__file__)
RUNNERS = ("resunet", FLAGSHIP)
SLICES = {"large_1": "A large tumour", "small_5": "A small one", "faint_1": "A faint one"}
LEARNT, FLAT = 0.5, 0.004  # Dice; how far an outline is simplified, as a share of its length


@st.cache_data(show_spinner=False)
def race_data(stamps: tuple[float, ...]) -> dict[str, Any] | None:
    """What the browser plays; None where a run's history or pictures are missing. `stamps` say when they changed."""
    samples = {sample.name: sample for sample in load_samples(REPLAY)}
    try:
        slices = [samples[name] for name in SLICES]
        runners = [_runner(name, slices) for name in RUNNERS]
    except (KeyError, InputError):
        return None
    if None in runners:
        return None
    last = [[dice[-1] for dice in runner["dice"]] for runner in runners if runner]
    best = np.max(last, axis=0)
    neither = int(best.argmin())
    pictures = [np.repeat(each.image[..., 1:2], 3, axis=2) for each in slices]
    return {
        "runners": runners,
        "slices": [
            {"name": SLICES[each.name], "image": overlay.jpeg_uri(picture), "truth": outlines_of(each.mask)}
            for each, picture in zip(slices, pictures, strict=True)
        ],
        "neither": neither,
        "words": {
            "during": "Orange: outlined after this epoch. Dashed blue: the true outline. Curves: Dice on validation patients.",
            "end": _ending(list(SLICES.values())[neither], [dice[neither] for dice in last]),
        },
    }


def _ending(slice_name: str, dice: list[float]) -> str:
    """What the race ends on."""
    learnt = f"Neither learns this one ({slice_name.lower()})" if max(dice) < LEARNT else "Both learn all three; the hardest"
    return f"{learnt}: Dice {dice[0]:.2f} and {dice[1]:.2f} after the last epoch. The slices are simulated."


def _runner(name: str, slices: list[Sample]) -> dict[str, Any] | None:
    """One network's outlines and Dice by slice and epoch, and its curve."""
    folder = find_model(name)
    kept, history = loaders.snapshots(folder), loaders.history(folder)
    if kept is None or history is None:
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
        "name": loaders.display_name(name),
        "colour": model_colour(name),
        "epochs": len(masks),
        "outlines": outlines,
        "dice": dices,
        "curve": [float(value) for value in history["val_dice"]],
    }


def _simple(outline: list[list[float]]) -> list[list[float]]:
    """The outline with the points that the eye sees."""
    points = np.array(outline, np.float32)[:, None]
    return cv2.approxPolyDP(points, FLAT * cv2.arcLength(points, True), True)[:, 0].round(3).tolist()


def show() -> None:
    """The race, where both runs are there."""
    try:
        stamps = tuple(loaders.stamp(find_model(name).path / HISTORY) for name in RUNNERS)
    except InputError:
        return
    if (data := race_data(stamps)) is not None:
        st.subheader("Two networks learn the same slices", anchor=False)
        RACE(data=data, key="race")
