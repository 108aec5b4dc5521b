"""The falling 0.98: what keeping patients apart and averaging over patients leave of the paper's Dice."""

from __future__ import annotations

from pages.common.component import component_of
from pages.common.dashboards import evaluations
from resunet.evaluation.ablation_questions import REPORTED_DICE, SPLIT_SCHEME_RUNS, SPLIT_SCHEME_RUNS_T1CE
from resunet.reports.head_frames import NEIGHBOURS, as_data_uri

FALLING = component_of(__file__)
SETS = (  # name, runs by split scheme, average over slices, what is reported, and of what
    ("LGG", SPLIT_SCHEME_RUNS, "all_slice_dice", REPORTED_DICE, "The paper reports 0.98; this is its ResUNet, trained here."),
    (
        "T1-CE",
        SPLIT_SCHEME_RUNS_T1CE,
        "all_slice_dice",
        0.83,
        "Díaz-Pernas et al. 2021 report 0.83; this is ResUNet-Lite.",
    ),
)
WORDS = {"LGG": "Each slice counts once, and an empty one that stays empty counts as 1.", "T1-CE": "Each slice counts once."}


def available() -> list[dict[str, object]]:
    """The sets of which both split schemes were measured, with the four figures of each."""
    sets = []
    for name, runs, by_slice, reported, source in SETS:
        apart, mixed = (evaluations.find(run, "test") for run in runs.values())
        if apart is None or mixed is None:
            continue
        values = {
            f"{scheme}_{unit}": evaluation.summary["metrics"][metric]["value"]
            for scheme, evaluation in (("apart", apart), ("mixed", mixed))
            for unit, metric in (("patients", "volume_dice_mean"), ("slices", by_slice))
        }
        sets.append({"name": name, "values": values, "reported": reported, "source": source, "slices_words": WORDS[name]})
    return sets


def show() -> None:
    """The giant number with its two switches; nothing where nothing was measured."""
    if sets := available():
        pair = list(zip(map(as_data_uri, NEIGHBOURS), ("TRAIN", "TEST"), strict=True))
        FALLING(data={"sets": sets, "pair": pair}, key="falling_dice")
