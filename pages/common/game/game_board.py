"""The board on which one player draws, and what the server tells it."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from pages.common import predictions
from pages.common.component import component_of
from resunet.charts import overlay
from resunet.data.samples import load_samples
from resunet.evaluation.cross_validation import REPORTED_READERS
from resunet.game.room import Player
from resunet.game.scoring import outlines_of, score
from resunet.reading.scan import BoolMask

BOARD = component_of(__file__)
SAMPLES = ("typical_2", "none_2", "faint_3", "cavity_3", "small_3")  # one without a tumour, one in which the network fails
PICTURE, SECONDS, FAILS = 512, 8, 0.75
RULES = (
    f"Each slice appears for {SECONDS} seconds. Draw around the tumour, if there is one. Then see the true outline and what "
    "the network found. The slices are simulated."
)


class Round(NamedTuple):
    """One slice of the game: its picture, the true mask (H, W), the network's, and the network's Dice."""

    image: overlay.Picture
    truth: BoolMask
    network: BoolMask
    dice: float


@st.cache_data(show_spinner="Preparing the slices")
def rounds(revision: str) -> list[Round]:
    """The slices of a game, in order; `revision` is that of the models."""
    samples = {sample.name: sample for sample in load_samples()}
    played = []
    for sample in (samples[name] for name in SAMPLES if name in samples):
        mask = predictions.predict(sample.digest, 0, sample.image, tta=False).mask
        picture = overlay.render(sample.image, PICTURE)
        played.append(Round(picture, sample.mask, mask, score(mask, sample.mask)))
    return played


def show(player: Player, played: list[Round]) -> dict[str, Any] | None:
    """The board as this player sees it; returns what was just drawn: number of the round and points."""
    done = len(player.scores)
    return BOARD(
        data={
            "player": player.name,
            "seconds": SECONDS,
            "total": len(played),
            "rules": RULES,
            "readers": REPORTED_READERS,
            "done": done,
            "next": {"number": done, "image": overlay.jpeg_uri(played[done].image)} if done < len(played) else None,
            "last": _revealed(player, done - 1, played[done - 1]) if done else None,
        },
        on_drawn_change=lambda: None,
        key="game_board",
    ).drawn


def _revealed(player: Player, number: int, played: Round) -> dict[str, Any]:
    """The last round with its three outlines and numbers."""
    return {
        "number": number,
        "image": overlay.jpeg_uri(played.image),
        "truth": outlines_of(played.truth),
        "network": outlines_of(played.network),
        "player": [player.outlines[number].tolist()] if len(player.outlines[number]) else [],
        "you": player.scores[number],
        "network_dice": played.dice,
        "is_empty": not played.truth.any(),
        "says": comment(player.scores[number], played),
    }


def comment(dice: float, played: Round) -> str:
    """What there was to see, and who came closer."""
    if not played.truth.any():
        return "There is no tumour in this slice. " + ("You saw that." if dice == 1 else "What you drew is healthy brain.")
    what = "Here the network fails: it takes the dark fluid inside the tumour for tumour. " if played.dice < FAILS else ""
    closer = "You came closer than the network." if dice > played.dice else "The network came closer."
    return f"{what}{closer} 1 is the true outline itself, 0 is no overlap."
