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
from resunet.reports.slideshow_file import Slide, case_slide, comparison_slide, finding_slides, head_slide, slideshow_html

TITLE = "The slideshow"
CASES = ("large_2", "typical_1", "none_1", "cavity_1", "small_2", "faint_1", "none_3", "large_3")
HEIGHT = "calc(100dvh - 9rem)"  # what the window leaves beside the header and the line below


@st.cache_data(show_spinner="Preparing the slideshow", hash_funcs={Evaluation: lambda evaluation: evaluation.key})
def html(revision: str, measured: dict[str, Evaluation]) -> str:
    """The slideshow on the bundled samples and the test figures."""
    samples = {sample.name: sample for sample in load_samples() if sample.name in CASES}
    cases = [
        case_slide(samples[name], predictions.predict(samples[name].digest, 0, samples[name].image, tta=False))
        for name in CASES
        if name in samples
    ]
    findings = finding_slides(measured[FLAGSHIP]) if FLAGSHIP in measured else []
    if len(measured) > 1:
        findings.append(comparison_slide(measured))
    slides = [
        Slide("Is there a tumour, and where?", "A ResNet-50 decides whether an MRI slice shows one; a ResUNet outlines it."),
        *cases[:4],
        head_slide(),
        *findings,
        *cases[4:],
        Slide("Try it", "Drop in a slice of your own, or ask where these figures come from. Research use only."),
    ]
    return slideshow_html(slides)


try:
    page = html(models.revision(), evaluations.of_all(evaluations.compared_models(), "test"))
    st.html(f"<style>iframe[title='{TITLE}'] {{ height: {HEIGHT} !important; min-height: 26rem; }}</style>")
    st.iframe(page, height=600, alt=TITLE)
    with st.container(horizontal=True, vertical_alignment="center"):
        download("Download the show (HTML)", lambda: page, "brain-tumour-segmentation.html", icon=":material/download:")
        st.caption("One file. It opens in any browser and plays without this server and without a network.")
except InputError as error:
    show_error(error)
