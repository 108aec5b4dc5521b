"""Stage: a show that plays by itself, for a projector; it runs in the browser alone once it is there."""

import streamlit as st

from pages.common import judging, loaders, models, picks
from pages.common.messages import show_error
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.hub import FLAGSHIP

CASES = ("large_2", "typical_1", "none_1", "cavity_1", "small_2", "faint_1", "none_3", "large_4")
HEIGHT = 780


@st.cache_data(show_spinner="Preparing the show")
def show_html(revision: str, changed: tuple[float, ...]) -> str:
    """The show on the bundled samples and the test figures."""
    from resunet.stage_show import Slide, case_slide, comparison_slide, finding_slides, stage_html

    samples = {sample.name: sample for sample in load_samples()}
    cases = [
        case_slide(samples[name], judging.predict(judging.digest(samples[name].png), 0, samples[name].image, tta=False))
        for name in CASES
        if name in samples
    ]
    summaries = {name: found for name in picks.compared_models() if (found := loaders.model_summary(name, "test"))}
    findings = finding_slides(FLAGSHIP, summaries[FLAGSHIP]) if FLAGSHIP in summaries else []
    if len(summaries) > 1:
        findings.append(comparison_slide(summaries))
    slides = [
        Slide("Is there a tumour, and where?", "A ResNet-50 decides whether an MRI slice shows one; a ResUNet outlines it."),
        *cases[:4],
        *findings,
        *cases[4:],
        Slide("Try it", "Drop in a slice of your own, or ask where these figures come from. Research use only."),
    ]
    return stage_html(slides)


try:
    measured = tuple(loaders.stamp(loaders.summary_path(name, "test")) for name in picks.compared_models())
    page = show_html(models.revision(), measured)
    st.iframe(page, height=HEIGHT, alt="The show")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "The show as one file",
            page,
            "brain-tumour-segmentation.html",
            "text/html",
            icon=":material/download:",
            on_click="ignore",
        )
        st.caption("It opens in any browser and plays without this server and without a network.")
except InputError as error:
    show_error(error)
