"""Which evaluation a dashboard shows, and which part of it; choices live in the address, so that they can be shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages.common import loaders, own
from pages.common.once import once
from resunet.errors import InputError
from resunet.evaluation.select import SHOWS, SIZES, select_slices, sites_of
from resunet.hub import FLAGSHIP, list_models

PROTOCOL_WORDS = {
    "test": "Test, 20 patients",
    "test_tta": "Test, with test-time augmentation",
    "val": "Validation, 10 patients",
    "val_tta": "Validation, with test-time augmentation",
    "buda10": "The ten published test patients",
    "buda10_tta": "The ten, with test-time augmentation",
    own.PROTOCOL: "Your own data, this visit",
}


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of one model: its name, protocol, config.json, summary.json and slices.csv."""

    model: str
    protocol: str
    config: dict[str, Any]
    summary: dict[str, Any]
    slices: pd.DataFrame

    @property
    def segments(self) -> bool:
        """Whether the model outlines (else it classifies)."""
        return "tp" in self.slices


def measured_models(task: str | None = None) -> list[str]:
    """Models with at least one evaluation, the flagship first."""
    found = []
    for name in list_models():
        try:
            fits = task is None or loaders.model_config(name).get("task") == task
            if fits and loaders.model_protocols(name):
                found.append(name)
        except InputError:
            continue
    return sorted(found, key=lambda name: (name != FLAGSHIP, name))


def compared_models(questions: bool = False) -> list[str]:
    """Measured models that were trained on the committed split: the same slices were held out from all of them.

    Runs that only answer a question (another loss, another seed) are among them where `questions` says so.
    """
    configs = {name: loaders.model_config(name) for name in measured_models("segmentation")}
    apart = {name: config for name, config in configs.items() if config.get("protocol", "patient") == "patient"}
    return [name for name, config in apart.items() if questions or config.get("recipe", {}).get("keep_weights", True)]


def choose_evaluation(task: str | None = None) -> Evaluation | None:
    """Model and protocol; None, with a sentence on screen, where nothing has been measured or a file is damaged."""
    models = measured_models(task)
    if not models:
        st.info("Nothing is evaluated yet. Run: resunet evaluate MODEL --data DIR --split test")
        return None
    left, right = st.columns(2)
    with left:
        model = _choose("Model", models, models[0], "model")
    protocols = loaders.model_protocols(model)
    with right:
        start = "test" if "test" in protocols else protocols[0]
        protocol = _choose("Measured on", protocols, start, "protocol")
    summary, slices = loaders.model_summary(model, protocol), loaders.model_slices(model, protocol)
    if summary is None or slices is None:
        st.info(f"{model} is not evaluated on {protocol} yet. Run: resunet evaluate {model} --data DIR --split {protocol}")
        return None
    return Evaluation(model, protocol, loaders.model_config(model), summary, slices)


def _choose(label: str, options: list[str], start: str, name: str) -> str:
    """A selectbox that starts at what the address says and keeps the address in step.

    Not bound by `bind=`: a bound parameter could not be set by `open_case`.
    """
    wanted = st.query_params.get(name)
    first = options.index(wanted if wanted in options else start)
    chosen = st.selectbox(label, options, first, format_func=lambda option: PROTOCOL_WORDS.get(option, option), key=name)
    if wanted != chosen:
        st.query_params[name] = chosen
    return chosen


def filter_bar(slices: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Filters that act on everything below them; returns the rows that are left."""
    first, second, third, fourth = st.columns([3, 4, 3, 2])
    sites = first.multiselect("Site", once(protocol, sites_of, slices), placeholder="All sites", key="sites")
    sizes = second.multiselect("Tumour in the slice", list(SIZES), placeholder="Any size", key="sizes")
    shows = third.selectbox("Slices", list(SHOWS), key="shows")
    worst = fourth.number_input(
        "Worst patients", 1, None, None, 1, key="worst", placeholder="all", help="Keep only this many of lowest Dice"
    )
    kept = once(protocol, select_slices, slices, sites, sizes, shows, int(worst) if worst else None)
    if kept.empty:
        st.warning("No slice fits these filters; take one of them back.")
    elif len(kept) < len(slices):
        st.caption(f"{len(kept):,} of {len(slices):,} slices, {kept['patient'].nunique()} patients, fit the filters.")
    return kept


def open_case(model: str, protocol: str, patient: str, number: int) -> None:
    """Leave for the screen of one case; its address can be shared."""
    where = {"model": model, "protocol": protocol, "patient": patient, "slice": str(number)}
    st.switch_page("pages/evaluation/cases.py", query_params=where)


def follow_click(event: Any, key: str, model: str, protocol: str) -> None:
    """Open the case of the first selected point, whose customdata is (patient, slice).

    A chart may still hold its selection when the visitor comes back to it: each selection is followed once.
    """
    points = event["selection"]["points"]
    chosen = tuple(points[0]["customdata"][:2]) if points and points[0].get("customdata") else None
    before = st.session_state.get(f"followed_{key}")
    st.session_state[f"followed_{key}"] = chosen
    if chosen is not None and chosen != before:
        open_case(model, protocol, str(chosen[0]), int(chosen[1]))
