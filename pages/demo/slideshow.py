"""Slideshow: it plays by itself, for a projector, and runs in the browser alone once it is there."""

import streamlit as st

from pages.common import evaluations, models, predictions
from pages.common.downloads import download
from pages.common.messages import show_error
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.evaluation.evaluation import Evaluation
from resunet.hub import FLAGSHIP
from resunet.reports.slideshow import Slide, case_slide, comparison_slide, finding_slides, slideshow_html

CASES = ("large_2", "typical_1", "none_1", "cavity_1", "small_2", "faint_1", "none_3", "large_4")
HEIGHT = 780


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
        *findings,
        *cases[4:],
        Slide("Try it", "Drop in a slice of your own, or ask where these figures come from. Research use only."),
    ]
    return slideshow_html(slides)


try:
    page = html(models.revision(), evaluations.of_all(evaluations.compared_models(), "test"))
    st.iframe(page, height=HEIGHT, alt="The slideshow")
    with st.container(horizontal=True, vertical_alignment="center"):
        download("Download the slideshow (HTML)", lambda: page, "brain-tumour-segmentation.html", icon=":material/download:")
        st.caption("One file. It opens in any browser and plays without this server and without a network.")
except InputError as error:
    show_error(error)
