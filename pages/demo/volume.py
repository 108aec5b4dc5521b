"""Volume: drop in one patient, see the tumour in three planes and in space, take the mask home."""

import numpy as np
import streamlit as st

from pages.common import loaders, models
from pages.common.downloads import download
from pages.common.messages import escape_markdown, show_error
from pages.common.not_judged import UNJUDGED_PICTURE, asked_badge, show_not_judged
from pages.common.volumes import segmented_volume as volumes
from pages.common.volumes import volume_viewer
from pages.common.volumes.volume_files import Chosen, choose_examination
from resunet.catalogue import FLAGSHIP, VOLUME_MODEL
from resunet.charts import overlay
from resunet.charts.chart_files import safe_csv
from resunet.errors import InputError
from resunet.evaluation.volume_scores import score_volume
from resunet.examination import Examination
from resunet.inference.predict_volumes import content_of
from resunet.inference.triage import Triage
from resunet.inference.verdict import UNLIKE, percent
from resunet.inference.volume_pipeline import VolumePrediction
from resunet.reports.slideshow_file import head_slide
from resunet.reports.volume_report import SPREAD, slices_table, volume_interval, volume_page, volume_report

MODELS = {VOLUME_MODEL: "With neighbouring slices", FLAGSHIP: "Slice by slice"}


@st.fragment
def show(chosen: Chosen, model: str, original: VolumePrediction, is_asked: bool) -> None:
    """Everything about one volume; moving the threshold redraws this part of the page only."""
    examination = chosen.examination
    headline = st.container(gap="xsmall")
    left, right = st.columns([3, 2] if volume_viewer.is_wide() else 2, gap="medium")
    with right:
        figures = st.container()
        threshold = st.slider(
            "Threshold",
            0.05,
            0.95,
            original.threshold,
            0.05,
            key=f"volume_threshold_{model}",
            help=f"Voxels of at least this probability are outlined. Chosen on validation: {original.threshold:.2f}.",
        )
    prediction = original.with_threshold(threshold)
    mask = prediction.axial_mask
    content = content_of(prediction, mask)
    table = slices_table(prediction, mask)
    with headline:
        _headline(content, chosen, is_asked)
    with figures:
        _figures(prediction, content, float(table["diameter_mm"].max()))
        truth = _truth(prediction, mask, examination)
    with left:
        volume_viewer.show(examination, prediction, mask, truth)
    with right:
        volume_viewer.along_the_head(table, prediction.stage_1_threshold)
    with st.container(horizontal=True):
        name = examination.name
        report = {"case": examination.name, **content}
        download("Mask (NIfTI)", lambda: volume_viewer.on_grid(prediction, mask), f"{name}_mask.nii.gz")
        if examination.main.kind == "dicom":
            on_grid = prediction.volume.from_axial(mask)
            download("Mask (DICOM SEG)", lambda: volumes.segmentation(examination, on_grid, model), f"{name}_mask.dcm")
        words = loaders.display_name(model)
        page = "One page (HTML, to print)"
        download(page, lambda: volume_page(report, prediction, words, volumes.planes(examination)), f"{name}.html")
        download("Report (JSON)", lambda: volume_report(report, prediction, model, table), f"{name}.json")
        download("By slice (CSV)", lambda: safe_csv(table), f"{name}_slices.csv")


def _headline(content: dict, chosen: Chosen, is_asked: bool) -> None:
    outlined = f"{content['tumour_slices']:,} of {content['slices']:,} slices"
    p_tumour = "" if content["p_tumour"] is None else f", highest P(tumour) {percent(content['p_tumour'])}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="headline"):
        st.header(content["verdict"], anchor=False, width="content")
        st.markdown(f"##### {outlined}{p_tumour}.", width="content")
        if content["unlike_training"]:
            st.badge(UNLIKE, icon=":material/warning:", color="red")
        if is_asked:
            asked_badge(volumes.key_of(chosen.examination))
        if chosen.is_sample:
            st.badge("Simulated", icon=":material/draw:", color="violet", help="Made by the bundled simulator, not a patient")
        st.badge("Research use only", icon=":material/science:", color="gray")
    st.caption(escape_markdown(" ".join(content["notes"])))


def _figures(prediction: VolumePrediction, content: dict, diameter: float) -> None:
    first, second = st.columns(2)
    interval = volume_interval(prediction)
    spread = f"{interval[0]:.1f} to {interval[1]:.1f} ml" if interval else None
    known = content["volume_ml"] is not None
    volume = f"{content['volume_ml']:.1f} ml" if known else f"{content['tumour_pixels']:,} voxels"
    note = f"Below it, what the threshold ± {SPREAD} would give." if interval else None
    first.metric("Volume", volume, spread, delta_color="off", delta_arrow="off", border=True, help=note)
    shown = "–" if np.isnan(diameter) else f"{diameter:.0f} mm"
    second.metric("Largest diameter", shown, "in an axial slice", delta_color="off", delta_arrow="off", border=True)


def _truth(prediction: VolumePrediction, mask: np.ndarray, examination: Examination) -> np.ndarray | None:
    """Scores against the mask that came with the volume; returns it, or None, with a sentence where it does not fit."""
    try:
        truth = volumes.read_truth(prediction, examination)
    except InputError as error:
        show_error(error)
        return None
    if truth is None:
        return None
    scores = score_volume(prediction, mask, truth)
    figures = {
        "Dice": (scores.dice, "{:.3f}"),
        "HD95": (scores.hd95_mm, "{:.1f} mm"),
        "volume": (scores.volume_error_ml, "{:+.1f} ml"),
    }
    words = (f"{name} **{'–' if np.isnan(value) else form.format(value)}**" for name, (value, form) in figures.items())
    st.markdown(f"Against the true mask: {', '.join(words)}")
    return truth


def without_verdict(examination: Examination, triage: Triage) -> None:
    """An examination that no model knows: why, its middle slice, and the way to a verdict all the same."""
    slices = volumes.planes(examination)
    middle = overlay.render(slices[len(slices) // 2], UNJUDGED_PICTURE)
    show_not_judged(triage, volumes.key_of(examination), middle, f"{examination.name}, its middle slice")


def example() -> None:
    """What comes out, before anything went in."""
    head = head_slide().steps[0]
    left, right = st.columns([2, 3], gap="large", vertical_alignment="center")
    left.html(f'<img src="{head.picture}" alt="{head.title}" style="width: 100%; border-radius: 0.5rem">')
    with right:
        st.subheader("What you get", anchor=False)
        st.markdown(
            "- whether there is a tumour, and in which slices\n"
            "- its volume and largest diameter, in millilitres and millimetres\n"
            "- the outline in three planes and in space\n"
            "- the mask on the grid of your files, as NIfTI or DICOM SEG, and a page to print"
        )
        st.caption(head.caption)


heading, zone = st.columns([1, 5], vertical_alignment="center")  # beside one another, so that the head is in the first screen
heading.title("Volume", anchor=False)
try:
    models.pipeline()
    row = st.container(horizontal=True, vertical_alignment="center")
    with zone:
        chosen = choose_examination(row)
    if chosen is not None:
        with row:
            model = st.segmented_control(
                "Outlined by",
                list(MODELS),
                default=VOLUME_MODEL,
                required=True,
                format_func=MODELS.__getitem__,
                key="volume_model",
                label_visibility="collapsed",
            )
        judged = volumes.judge(chosen.examination, str(model))
        if judged.prediction is None:
            without_verdict(chosen.examination, judged.triage)
        else:
            show(chosen, judged.triage.model, judged.prediction, judged.triage.is_asked)
    else:
        volumes.forget()
        example()
except InputError as error:
    show_error(error)
