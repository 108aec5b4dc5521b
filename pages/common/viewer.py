"""The verdict and the pictures of one slice, with controls that act on cached probabilities only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from pages.common import loaders, predictions
from pages.common.case import Case
from pages.common.downloads import download
from pages.common.messages import escape_markdown, show_error
from resunet.charts import overlay
from resunet.charts.export import safe_csv
from resunet.charts.overlay import Picture, Window
from resunet.errors import InputError
from resunet.evaluation.regions import measure_regions
from resunet.files import encode_mask
from resunet.hub import FLAGSHIP
from resunet.inference.pipeline import Prediction
from resunet.inference.verdict import UNLIKE
from resunet.reports.case_report import IN_PIXELS, Scores, regions_table, report, score_slice, verdict

PICTURE = 720  # pixels, longer side of the main picture
SMALL_PICTURE = 360
# By the split that a patient is in; the others were seen neither in training nor in choosing.
MEMBERSHIP: dict[str | None, tuple[str, Any]] = {
    "train": ("In the training set", "orange"),
    "val": ("In the validation set", "blue"),
    None: ("Held out from training", "blue"),
}
STYLES = {"Outline": "outline", "Fill": "fill", "Heat": "heat", "None": "none"}
SCORES = {  # as the fields of `Scores`
    "Dice": "Dice of this slice: twice the overlap over the sum of both areas",
    "IoU": "Overlap over union of both areas in this slice",
    "Precision": "Share of the outlined pixels that are tumour",
    "Recall": "Share of the tumour's pixels that are outlined",
}
UNLIKE_HELP = (
    "Stage 1 sees in this picture what it saw in none of its training slices: another organ, sequence or modality, or a "
    "picture that was changed. The verdict then means little."
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


@dataclass(frozen=True)
class Display:
    """How the visitor wants to see the slice."""

    style: Any
    opacity: float
    channel: str
    window: Window
    truth_outline: bool


@st.fragment
def show(case: Case) -> None:
    """Everything about one slice; moving a control redraws this part of the page only."""
    headline = st.container(gap="xsmall")
    left, right = st.columns([5, 6], gap="medium")
    try:
        with st.spinner("Predicting"):
            tta = st.session_state.get("tta", False)
            predicted = predictions.predict(case.digest, case.number, case.image, tta, case.spacing)
    except InputError as error:  # Streamlit hands no error of a fragment on to the page
        show_error(error)
        return
    original = replace(predicted, notes=tuple(dict.fromkeys((*case.notes, *predicted.notes))))
    with right:
        scores = st.container()
        prediction = original.with_thresholds(*_threshold_controls(original))
        display = _display_controls(case)
        maps = st.container()
    with headline:
        _headline(case, prediction)
    with scores:
        if case.truth is not None:
            _scores(score_slice(prediction.mask, case.truth))
    with left:
        picture = _main_picture(case, prediction, display)
        st.image(picture, width="stretch", alt=f"{case.title} with the outlined finding")
        _legend(case, display)
        _downloads(case, prediction, picture)
    with maps:
        _maps(case, prediction, display)
    _regions(case, prediction)


def _headline(case: Case, prediction: Prediction) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        if case.simulated:
            st.badge("Simulated", icon=":material/draw:", color="violet", help="Drawn by the bundled simulator, not a patient")
        if case.patient:
            _membership_badge(case.patient)
        if prediction.is_unlike_training:
            st.badge(UNLIKE, icon=":material/warning:", color="red", help=UNLIKE_HELP)
        st.badge("Research use only", icon=":material/science:", color="gray")
    finding, _, figures = verdict(prediction).partition(". ")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.header(finding, anchor=False, width="content")
        st.markdown(f"##### {figures}", width="content")
    for note in prediction.notes:
        st.caption(note)


def _membership_badge(patient: str) -> None:
    """Whether the model that outlines was trained on this patient, by its configuration."""
    config = loaders.model_config(FLAGSHIP)
    words, colour = MEMBERSHIP[config.split_of(patient)]
    st.badge(words, icon=":material/database:", color=colour, help=f"Patient {patient} of the {config.data_set.name}")


def _threshold_controls(prediction: Prediction) -> tuple[float, float]:
    """Threshold and gate, starting at the values chosen on validation."""
    first, second = st.columns(2)
    threshold = first.slider(
        "Threshold",
        0.01,
        0.99,
        prediction.threshold,
        0.01,
        key="threshold",
        help=f"Pixels of at least this probability are outlined. Chosen on validation: {prediction.threshold:.2f}.",
    )
    gate = second.slider(
        "Gate",
        0.0,
        1.0,
        prediction.gate,
        0.01,
        key="gate",
        help=f"Slices with a lower P(tumour) count as empty. Chosen on validation: {prediction.gate:.2f}.",
    )
    return threshold, gate


def _display_controls(case: Case) -> Display:
    style = st.segmented_control("Overlay", list(STYLES), default="Outline", required=True, key="style")
    channel = st.segmented_control(
        "Channel", [*overlay.CHANNELS, overlay.ALL_CHANNELS], default="FLAIR", required=True, key="channel"
    )
    opacity, level, width = st.columns(3)
    with st.container(horizontal=True):
        truth_outline = case.truth is not None and st.toggle("True outline", key="truth")
        st.toggle(
            "Uncertainty",
            key="tta",
            help="Averages stage 2 over four flips of the slice and shows where they disagree. Slower.",
        )
    return Display(
        style=STYLES[style],
        opacity=opacity.slider("Opacity", 0.0, 1.0, 0.8, 0.05, key="opacity"),
        channel=channel,
        window=Window(
            level.slider("Level", 0.0, 1.0, 0.5, 0.01, key="level", help="The grey value shown as middle grey"),
            width.slider("Window", 0.05, 2.0, 1.0, 0.05, key="window", help="How many grey values span black to white"),
        ),
        truth_outline=truth_outline,
    )


def _main_picture(case: Case, prediction: Prediction, display: Display) -> Picture:
    plain = overlay.render(case.image, display.channel, display.window, PICTURE)
    picture = overlay.draw(plain, prediction.mask, prediction.probability, display.style, display.opacity)
    if display.truth_outline and case.truth is not None:
        picture = overlay.outline(picture, case.truth, overlay.TRUTH)
    return picture


def _legend(case: Case, display: Display) -> None:
    words = {
        "outline": "Orange line: predicted outline.",
        "fill": "Orange: predicted tumour.",
        "heat": "Brighter: higher tumour probability of the pixel.",
        "none": "Slice without overlay.",
    }[display.style]
    st.caption(f"{escape_markdown(case.title)}. {words}" + (" Blue line: true outline." if display.truth_outline else ""))


def _maps(case: Case, prediction: Prediction, display: Display) -> None:
    """Small pictures side by side: probability, Grad-CAM, uncertainty, hits and misses."""
    plain = overlay.render(case.image, display.channel, display.window, SMALL_PICTURE)
    pictures: list[tuple[str, str, Picture]] = []
    if prediction.probability is not None:
        probability = overlay.heat(prediction.probability, plain.shape[1], plain.shape[0])[0]
        pictures.append(("Probability map", "Stage 2: black 0, yellow 1", probability))
    grad_cam = overlay.draw(plain, prediction.mask, prediction.grad_cam, "heat", 0.7)
    pictures.append(("Grad-CAM of stage 1", "Where the classifier saw evidence for a tumour", grad_cam))
    if prediction.uncertainty is not None:
        spread = overlay.heat(prediction.uncertainty * 4, plain.shape[1], plain.shape[0])[0]
        pictures.append(("Uncertainty", "Standard deviation over four flips: yellow 0.25 and more", spread))
    if case.truth is not None:
        errors = overlay.error_map(plain, prediction.mask, case.truth)
        pictures.append(("Hits and misses", "Green hit, blue missed, red false positive", errors))
    columns = st.columns(len(pictures))
    for column, (title, caption, picture) in zip(columns, pictures, strict=True):
        with column:
            st.markdown(f"**{title}**")
            st.image(picture, width="stretch", alt=title)
            st.caption(caption)


def _scores(scores: Scores) -> None:
    for column, (label, meaning), value in zip(st.columns(4), SCORES.items(), scores, strict=True):
        shown = f"{value:.3f}" if value == value else "undefined"
        column.metric(label, shown, help=f"{meaning}; undefined where there is nothing to count", border=True)


def _regions(case: Case, prediction: Prediction) -> None:
    table = measure_regions(prediction.mask, case.spacing)
    st.markdown("**Regions**")
    if table.empty:
        st.caption("No region: the mask is empty.")
        return
    st.dataframe(table.rename(columns=REGION_LABELS), hide_index=True, key="regions")
    if case.spacing is None:
        st.caption(IN_PIXELS)


def _downloads(case: Case, prediction: Prediction, picture: Picture) -> None:
    stem = case.title.replace(": ", "_").replace(", ", "_").replace(" ", "_")
    truth, spacing = case.truth, case.spacing
    with st.container(horizontal=True):
        download("Mask (PNG)", lambda: encode_mask(prediction.mask), f"{stem}_mask.png")
        download("Overlay (PNG)", lambda: overlay.encode_png(picture), f"{stem}_overlay.png")
        download("Report (JSON)", lambda: report(case.title, prediction, FLAGSHIP, spacing, truth), f"{stem}.json")
        download("Regions (CSV)", lambda: safe_csv(regions_table(prediction, spacing)), f"{stem}_regions.csv")
