"""The verdict and the pictures of one slice, with controls that act on cached probabilities only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.common import judging
from pages.common.case import Case
from pages.common.messages import plain
from pages.common.sources import PART_WORDS
from resunet import overlay
from resunet.charts.export import safe_csv
from resunet.hub import FLAGSHIP
from resunet.overlay import Picture, Window
from resunet.regions import measure_regions
from resunet.report import Scores, report, score_slice, verdict

if TYPE_CHECKING:
    from resunet.pipeline import Prediction

PICTURE = 720  # pixels, longer side of the main picture
SMALL_PICTURE = 360
STYLES = {"Outline": "outline", "Fill": "fill", "Heat": "heat", "None": "none"}
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
class Look:
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
    with st.spinner("Looking at the slice"):
        found = judging.predict(case.digest, case.number, case.image, st.session_state.get("tta", False))
    with right:
        scores = st.container()
        prediction = found.at(*_decision_controls(found))
        look = _look_controls(case)
        _maps(case, prediction, look)
    with headline:
        _headline(case, prediction)
    with scores:
        if case.truth is not None:
            _scores(score_slice(prediction.mask, case.truth))
    with left:
        picture = _main_picture(case, prediction, look)
        st.image(picture, width="stretch", alt=f"{case.title} with the outlined finding")
        _legend(case, look)
        _downloads(case, prediction, picture)
    _regions(case, prediction)


def _headline(case: Case, prediction: Prediction) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        if case.simulated:
            st.badge("Simulated", icon=":material/draw:", color="violet", help="Drawn by the bundled simulator, not a patient")
        if case.known:
            colour = "orange" if case.known.part == "train" else "blue"
            st.badge(
                PART_WORDS[case.known.part].capitalize(),
                icon=":material/database:",
                color=colour,  # type: ignore[arg-type]
                help=f"This very slice is in the LGG data set: patient {case.known.patient}",
            )
        st.badge("Research use only", icon=":material/science:", color="gray")
    finding, _, figures = verdict(prediction).partition(". ")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.header(finding, anchor=False, width="content")
        st.markdown(f"##### {figures}", width="content")
    for note in dict.fromkeys((*case.notes, *prediction.notes)):
        st.caption(note)


def _decision_controls(found: Prediction) -> tuple[float, float]:
    """Threshold and gate, starting at the values chosen on validation."""
    first, second = st.columns(2)
    threshold = first.slider(
        "Threshold",
        0.01,
        0.99,
        found.threshold,
        0.01,
        key="threshold",
        help=f"Pixels of at least this probability are outlined. Chosen on validation: {found.threshold:.2f}.",
    )
    gate = second.slider(
        "Gate",
        0.0,
        1.0,
        found.gate,
        0.01,
        key="gate",
        help=f"Slices with a lower P(tumour) count as empty. Chosen on validation: {found.gate:.2f}.",
    )
    return threshold, gate


def _look_controls(case: Case) -> Look:
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
            help="Four looks instead of one: averages stage 2 over flips of the slice and shows where they disagree. Slower.",
        )
    return Look(
        style=STYLES[style],
        opacity=opacity.slider("Opacity", 0.0, 1.0, 0.8, 0.05, key="opacity"),
        channel=channel,
        window=Window(
            level.slider("Level", 0.0, 1.0, 0.5, 0.01, key="level", help="The grey value shown as middle grey"),
            width.slider("Window", 0.05, 2.0, 1.0, 0.05, key="window", help="How many grey values span black to white"),
        ),
        truth_outline=truth_outline,
    )


def _main_picture(case: Case, prediction: Prediction, look: Look) -> Picture:
    plain = overlay.render(case.image, look.channel, look.window, PICTURE)
    picture = overlay.draw(plain, prediction.mask, prediction.probability, look.style, look.opacity)
    if look.truth_outline and case.truth is not None:
        picture = overlay.outline(picture, case.truth, overlay.TRUTH)
    return picture


def _legend(case: Case, look: Look) -> None:
    words = {
        "outline": "Orange line: predicted outline.",
        "fill": "Orange: predicted tumour.",
        "heat": "Brighter: higher tumour probability a pixel.",
        "none": "Slice without overlay.",
    }[look.style]
    st.caption(f"{plain(case.title)}. {words}" + (" Blue line: true outline." if look.truth_outline else ""))


def _maps(case: Case, prediction: Prediction, look: Look) -> None:
    """Small pictures side by side: probability, Grad-CAM, uncertainty, hits and misses."""
    plain = overlay.render(case.image, look.channel, look.window, SMALL_PICTURE)
    pictures: list[tuple[str, str, Picture]] = []
    if prediction.probability is not None:
        probability = overlay.heat(prediction.probability, plain.shape[1], plain.shape[0])[0]
        pictures.append(("Probability map", "Stage 2: black 0, yellow 1", probability))
    attention = overlay.draw(plain, prediction.mask, prediction.attention, "heat", 0.7)
    pictures.append(("Grad-CAM of stage 1", "Where the classifier saw evidence for a tumour", attention))
    if prediction.uncertainty is not None:
        spread = overlay.heat(prediction.uncertainty * 4, plain.shape[1], plain.shape[0])[0]
        pictures.append(("Uncertainty", "Standard deviation over four flips: yellow 0.25 and more", spread))
    if case.truth is not None:
        errors = overlay.error_map(plain, prediction.mask, case.truth)
        pictures.append(("Hits and misses", "Green hit, blue missed, red false alarm", errors))
    columns = st.columns(len(pictures))
    for column, (title, caption, picture) in zip(columns, pictures, strict=True):
        with column:
            st.markdown(f"**{title}**")
            st.image(picture, width="stretch", alt=title)
            st.caption(caption)


def _scores(scores: Scores) -> None:
    meaning = {
        "dice": "Dice of this slice: twice the overlap over the sum of both areas",
        "iou": "Overlap over union of both areas in this slice",
        "precision": "Share of the outlined pixels that are tumour",
        "recall": "Share of the tumour's pixels that are outlined",
    }
    labels = {"dice": "Dice", "iou": "IoU", "precision": "Precision", "recall": "Recall"}
    for column, (name, value) in zip(st.columns(4), scores._asdict().items(), strict=True):
        shown = f"{value:.3f}" if value == value else "undefined"
        column.metric(labels[name], shown, help=f"{meaning[name]}; undefined where nothing is there to count", border=True)


def _regions(case: Case, prediction: Prediction) -> None:
    table = measure_regions(prediction.mask, case.spacing)
    st.markdown("**Regions**")
    if table.empty:
        st.caption("No region: the mask is empty.")
        return
    st.dataframe(table.rename(columns=REGION_LABELS), hide_index=True, key="regions")
    if case.spacing is None:
        st.caption("In pixels: this file does not say how large a pixel is.")


def _downloads(case: Case, prediction: Prediction, picture: Picture) -> None:
    stem = case.title.replace(": ", "_").replace(", ", "_").replace(" ", "_")
    truth, spacing = case.truth, case.spacing
    with st.container(horizontal=True):
        st.download_button(
            "Mask (PNG)", lambda: overlay.encode_mask(prediction.mask), f"{stem}_mask.png", "image/png", on_click="ignore"
        )
        st.download_button(
            "Overlay (PNG)", lambda: overlay.encode_png(picture), f"{stem}_overlay.png", "image/png", on_click="ignore"
        )
        st.download_button(
            "Report (JSON)",
            lambda: report(case.title, prediction, FLAGSHIP, spacing, truth),
            f"{stem}.json",
            "application/json",
            on_click="ignore",
        )
        st.download_button(
            "Regions (CSV)",
            lambda: safe_csv(measure_regions(prediction.mask, spacing)),
            f"{stem}_regions.csv",
            "text/csv",
            on_click="ignore",
        )
