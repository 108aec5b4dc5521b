"""Which evaluation a dashboard shows, and which of its slices; choices live in the address, so that they can be shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.common import loaders
from pages.common.dashboards import evaluations, sample_cases
from pages.common.dashboards.caching import computed, of_slices
from resunet.data.splits import site_name
from resunet.evaluation.cross_validation import CROSS_VALIDATED
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.filters import SHOWS, SIZES, sites_of

CARRIED = "carried_"  # begins the keys of the session under which a choice goes along from screen to screen
OF_LGG = ("test", "val", CROSS_VALIDATED)


def choose_evaluation(task: str | None = None, with_samples: bool = False) -> Evaluation | None:
    """Model and evaluation; None, with a sentence on screen, where nothing has been measured or a file is damaged.

    With samples, it begins with what this visitor evaluated, else with the bundled samples, unless the address says more.
    """
    models = list(evaluations.measured_runs(task))
    if not models:
        st.info("Nothing is evaluated yet. Run: resunet evaluate MODEL --data DIR --split test")
        return None
    left, right = st.columns(2)
    with left:
        model = _choose("Model", models, models[0], "model", loaders.display_name)
    names = evaluations.names(model)
    with right:
        start = names[0]
        if with_samples and loaders.model_config(model).channels == 3:
            names.append(evaluations.SAMPLES_SET)
            start = _set_with_pictures(names, start)
            st.query_params.setdefault("evaluation", start)  # a case in the address is one of this set
        name = choose_set(model, names, start)
    evaluation = sample_cases.find(model) if name == evaluations.SAMPLES_SET else evaluations.find(model, name)
    if evaluation is None:
        what = f"{loaders.display_name(model)} has no evaluation on {evaluations.name_of(name)} yet"
        st.info(f"{what}. Run: {evaluations.command(model, name)}")
    return evaluation


def _set_with_pictures(names: list[str], start: str) -> str:
    """What a screen of pictures begins with: what was chosen elsewhere, if its pictures are here, else what has some."""
    if "patient" in st.query_params:
        return start
    carried = st.session_state.get(CARRIED + "evaluation")
    if carried in names and (carried == evaluations.UPLOADED or (carried in OF_LGG and loaders.lgg_patients())):
        return str(carried)
    return evaluations.UPLOADED if evaluations.UPLOADED in names else evaluations.SAMPLES_SET


def choose_set(model: str, names: list[str], start: str, buttons: bool = False) -> str:
    """The one selector of what a screen's figures are measured on: the names offered, with the numbers of `model`."""
    return _choose("Evaluated on", names, start, "evaluation", lambda name: evaluations.label_of(model, name), buttons)


def _choose(label: str, options: list[str], start: str, key: str, words: Callable[[str], str], buttons: bool = False) -> str:
    """A selectbox, or buttons, that start at what the address says, else at what was chosen on another screen.

    The address is kept in step, but not by `bind=`: a bound parameter could not be set by `open_case`.
    """
    wanted, carried = st.query_params.get(key), st.session_state.get(CARRIED + key)
    first = next((name for name in (wanted, carried) if name in options), start)
    if buttons:
        chosen = str(st.segmented_control(label, options, default=first, required=True, format_func=words, key=key))
    else:
        chosen = st.selectbox(label, options, options.index(first), format_func=words, key=key)
    if chosen != evaluations.SAMPLES_SET and (chosen != first or chosen == wanted):
        carry(key, chosen)
    if chosen != (wanted or start):
        st.query_params[key] = chosen
    return chosen


def carry(key: str, chosen: str) -> None:
    """Let other screens begin with a choice of "model" or "evaluation"."""
    st.session_state[CARRIED + key] = chosen


def filter_bar(evaluation: Evaluation) -> Evaluation | None:
    """Filters that act on everything below them; the slices that are left, or None, with a sentence, when there is none."""
    first, second, third, fourth = st.columns([3, 4, 3, 2])
    offered = of_slices(sites_of, evaluation)
    sites = first.multiselect(
        "Site",
        offered,
        placeholder="All sites" if offered else "Not stated",
        disabled=not offered,
        key="sites",
        format_func=site_name,
    )
    sizes = second.multiselect("Tumour in the slice", list(SIZES), placeholder="Any size", key="sizes")
    shows = third.selectbox("Slices", list(SHOWS), key="shows")
    worst = fourth.number_input(
        "Worst patients", 1, None, None, 1, key="worst", placeholder="all", help="Keep only this many of lowest Dice"
    )
    kept = computed(Evaluation.selected, evaluation, sites, sizes, shows, int(worst) if worst else None)
    if kept.slices.empty:
        st.warning("No slice fits these filters; take one of them back.")
        return None
    if len(kept.slices) < len(evaluation.slices):
        patients = kept.slices["patient"].nunique()
        st.caption(f"{len(kept.slices):,} of {len(evaluation.slices):,} slices, {patients} patients, fit the filters.")
    return kept


def open_case(evaluation: Evaluation, patient: str, number: int) -> None:
    """Leave for the screen of one case; its address can be shared."""
    where = {"model": evaluation.model, "evaluation": evaluation.name, "patient": patient, "slice": str(number)}
    st.switch_page("pages/evaluation/cases.py", query_params=where)


def follow_click(event: Any, key: str, evaluation: Evaluation) -> None:
    """Open the case of the first selected point, whose customdata is (patient, slice).

    A chart may still hold its selection when the visitor comes back to it: each selection is followed once.
    """
    points = event["selection"]["points"]
    chosen = tuple(points[0]["customdata"][:2]) if points and points[0].get("customdata") else None
    before = st.session_state.get(f"followed_{key}")
    st.session_state[f"followed_{key}"] = chosen
    if chosen is not None and chosen != before:
        open_case(evaluation, str(chosen[0]), int(chosen[1]))
