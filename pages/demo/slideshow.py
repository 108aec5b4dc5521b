"""Slideshow: it plays by itself, for a projector, and runs in the browser alone once it is there."""

import streamlit as st

from pages.common import models, predictions
from pages.common.dashboards import evaluations
from pages.common.downloads import download
from pages.common.messages import show_error
from resunet.catalogue import FLAGSHIP
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.evaluation.evaluation import Evaluation
from resunet.reports.slideshow_file import (
    Slide,
    case_slide,
    comparison_slide,
    finding_slides,
    head_slide,
    last_slide,
    slideshow_html,
)

TITLE = "The slideshow"
CASES = {"large_2": "", "none_1": "", "small_3": ""}  # samples, and what goes wrong in them
FAILURE = {"cavity_3": "It fails: the dark fluid inside is outlined (orange) as if it were tumour. Blue: the true outline."}
HEIGHT = "calc(100dvh - 9rem)"  # what the window leaves beside the header and the line below


@st.cache_data(show_spinner="Preparing the slideshow", hash_funcs={Evaluation: lambda evaluation: evaluation.key})
def html(revision: str, measured: dict[str, Evaluation], address: str) -> str:
    """The slideshow on the bundled samples and the test figures, with the app's address at its end."""
    samples = {sample.name: sample for sample in load_samples()}
    *cases, failure = [
        case_slide(samples[name], predictions.predict(samples[name].digest, 0, samples[name].image, tta=False), why)
        for name, why in (CASES | FAILURE).items()
    ]
    findings = finding_slides(measured[FLAGSHIP]) if FLAGSHIP in measured else []
    if len(measured) > 1:
        findings.append(comparison_slide(measured))
    slides = [
        Slide("Is there a tumour, and where?", "A ResNet-50 decides whether an MRI slice shows one; a ResUNet outlines it."),
        *cases,
        head_slide(),
        *findings,
        failure,
        last_slide(address),
    ]
    return slideshow_html(slides)


try:
    address = (st.context.url or "").removesuffix("slideshow")
    page = html(models.revision(), evaluations.of_all(evaluations.compared_models(), "test"), address)
    frame = f"iframe[title='{TITLE}'], .stElementContainer:has(iframe[title='{TITLE}'])"
    st.html(f"<style>:is({frame}) {{ height: {HEIGHT} !important; min-height: 26rem; flex: none !important; }}</style>")
    st.iframe(page, height=600, alt=TITLE)
    with st.container(horizontal=True, vertical_alignment="center"):
        download("Download the show (HTML)", lambda: page, "brain-tumour-segmentation.html", icon=":material/download:")
        st.caption("One file. It opens in any browser and plays without this server and without a network.")
except InputError as error:
    show_error(error)
