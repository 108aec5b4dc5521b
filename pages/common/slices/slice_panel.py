"""The verdict on one slice, its picture and what a person takes away; controls act on kept probabilities only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from pages.common import loaders, models, predictions
from pages.common.downloads import download
from pages.common.messages import escape_markdown, show_error
from pages.common.not_judged import UNJUDGED_PICTURE, asked_badge, show_not_judged
from pages.common.slices import slice_viewer
from pages.common.slices.shown_slice import ShownSlice
from resunet.catalogue import FLAGSHIP
from resunet.charts import overlay
from resunet.charts.chart_files import safe_csv
from resunet.errors import InputError
from resunet.evaluation.regions import measure_regions
from resunet.files import encode_mask
from resunet.inference.pipeline import Prediction
from resunet.inference.triage import Triage
from resunet.inference.verdict import verdict
from resunet.reports.case_report import IN_PIXELS, all_notes, regions_table, report, score_slice
from resunet.reports.one_page import one_page

PICTURE = 720  # pixels, longer side of the picture that is downloaded
# By the split that a patient is in; the others were seen neither in training nor in choosing.
MEMBERSHIP: dict[str | None, tuple[str, Any]] = {
    "train": ("In the training set", "orange"),
    "val": ("In the validation set", "blue"),
    None: ("Held out from training", "blue"),
}
BLUE = " Blue line: true outline."
UNLIKE_HELP = (
    "This image does not resemble the training data: another organ, sequence or modality, or an edited picture. Do not rely "
    "on the verdict."
)
REGION_LABELS = {
    "region": "Region",
    "area_px": "Area, px",
    "centroid_row": "Centre row",
    "centroid_column": "Centre column",
    "top": "Box top",
    "left": "Box left",
    "height": "Box height",
    "width": "Box width",
    "diameter_px": "Largest diameter, px",
    "area_mm2": "Area, mm²",
    "diameter_mm": "Largest diameter, mm",
}


@st.fragment
def show(case: ShownSlice) -> None:
    """Everything about one slice; what a control changes redraws this part of the page only."""
    headline = st.container(gap="xsmall")
    try:
        asked = predictions.asked_of(case.digest)
        triage = predictions.triage(case.digest, case.number, case.image, case.stated, case.plane, asked)
        if not triage.is_judged:
            picture = overlay.render(case.image, UNJUDGED_PICTURE)
            show_not_judged(triage, case.digest, picture, case.title, case.notes)
            return
        with st.spinner("Predicting"):
            tta = st.session_state.get("tta", False)
            predicted = predictions.predict(case.digest, case.number, case.image, tta, case.spacing, triage.model)
    except InputError as error:  # Streamlit hands no error of a fragment on to the page
        show_error(error)
        return
    notes = (*models.pipeline_of(triage.model).fitting(case.notes), *triage.notes, *predicted.notes)
    original = replace(predicted, notes=tuple(dict.fromkeys(notes)))
    gate = st.session_state.get("gate", original.gate)
    prediction = original.with_thresholds(slice_viewer.chosen_threshold(case, original.threshold), gate)
    with headline:
        _headline(case, prediction, triage)
    slice_viewer.show(case, prediction, original.threshold)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{escape_markdown(case.title)}. Orange line: predicted outline.{BLUE if case.truth is not None else ''}")
        with st.popover("Download", icon=":material/download:"):
            _downloads(case, prediction, triage.model)
        with st.popover("Settings", icon=":material/tune:"):
            _settings(original)
    _regions(case, prediction)


def _headline(case: ShownSlice, prediction: Prediction, found: Triage) -> None:
    finding, figures, flags = verdict(prediction, case.spacing)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="headline"):
        st.header(finding, anchor=False, width="content")
        st.markdown(f"##### {figures}.{_score(case, prediction)}", width="content")
        for flag in flags:
            st.badge(flag, icon=":material/warning:", color="red", help=UNLIKE_HELP)
        if found.is_asked:
            asked_badge(case.digest)
        if case.patient:
            _membership_badge(case.patient)
        if case.simulated:
            st.badge("Simulated", icon=":material/draw:", color="violet", help="Made by the bundled simulator, not a patient")
        st.badge("Research use only", icon=":material/science:", color="gray")
    for note in prediction.notes:
        st.caption(note)


def _score(case: ShownSlice, prediction: Prediction) -> str:
    """Dice with the truth, where there is one and it is not empty like the mask."""
    if case.truth is None or np.isnan(dice := score_slice(prediction.mask, case.truth).dice):
        return ""
    return f" Dice {dice:.3f}."


def _membership_badge(patient: str) -> None:
    """Whether the model that outlines was trained on this patient, by its configuration."""
    config = loaders.model_config(FLAGSHIP)
    words, colour = MEMBERSHIP[config.split_of(patient)]
    st.badge(words, icon=":material/database:", color=colour, help=f"Patient {patient} of the {config.data_set.name}")


def _settings(prediction: Prediction) -> None:
    st.slider(
        "Gate",
        0.0,
        1.0,
        prediction.gate,
        0.01,
        key="gate",
        help=f"Slices with a lower P(tumour) count as empty. Chosen on validation: {prediction.gate:.2f}.",
    )
    st.toggle("Uncertainty", key="tta", help="Averages stage 2 over four flips and shows where they disagree. Slower.")


def _regions(case: ShownSlice, prediction: Prediction) -> None:
    table = measure_regions(prediction.mask, case.spacing)
    st.markdown("**Regions**")
    if table.empty:
        st.caption("No region: the mask is empty.")
        return
    st.dataframe(table.rename(columns=REGION_LABELS), hide_index=True, key="regions")
    if case.spacing is None:
        st.caption(IN_PIXELS)


def _downloads(case: ShownSlice, prediction: Prediction, model: str) -> None:
    stem = case.title.replace(": ", "_").replace(", ", "_").replace(" ", "_")
    truth, spacing = case.truth, case.spacing
    download("Mask (PNG)", lambda: encode_mask(prediction.mask), f"{stem}_mask.png")
    download("Overlay (PNG)", lambda: overlay.encode_png(_picture(case, prediction)), f"{stem}_overlay.png")
    download("One page (HTML, to print)", lambda: printed_page(case, prediction, model), f"{stem}.html")
    download("Report (JSON)", lambda: report(case.title, prediction, model, spacing, truth), f"{stem}.json")
    download("Regions (CSV)", lambda: safe_csv(regions_table(prediction, spacing)), f"{stem}_regions.csv")


def printed_page(case: ShownSlice, prediction: Prediction, model: str) -> str:
    """The slice on one page of paper, as HTML."""
    finding = verdict(prediction, case.spacing)
    plain = overlay.render(case.image, PICTURE)
    outlined = _picture(case, prediction)
    caption = "Orange: outlined."
    facts = {"Model": loaders.display_name(model), "Threshold": f"{prediction.threshold:.2f}", "Gate": f"{prediction.gate:.2f}"}
    if case.truth is not None:
        outlined = overlay.outline(overlay.outline(plain, case.truth, overlay.TRUTH), prediction.mask, overlay.PREDICTED)
        caption = "Orange: outlined. Blue: the true outline."
        facts["Against the true outline"] = _score(case, prediction).strip() or "both are empty"
    if prediction.kinds:
        facts["Kind of tumour"] = ", ".join(f"{kind} {share:.0%}" for kind, share in prediction.kinds.items())
    facts["Regions"] = f"{len(measure_regions(prediction.mask, case.spacing))}"
    pictures = [(plain, "The slice" + (", simulated" if case.simulated else "")), (outlined, caption)]
    remarks = all_notes(prediction, case.spacing)
    return one_page(case.title, finding.headline, f"{finding.figures}.", pictures, facts, remarks)


def _picture(case: ShownSlice, prediction: Prediction) -> overlay.Picture:
    plain = overlay.render(case.image, PICTURE)
    return overlay.outline(plain, prediction.mask, overlay.PREDICTED)
