"""Slideshow: it plays by itself, for a projector, and runs in the browser alone once it is there."""

from urllib.parse import urlsplit

import streamlit as st

from pages.common import loaders, models, predictions
from pages.common.dashboards import evaluations
from pages.common.downloads import download
from pages.common.messages import show_error
from resunet.catalogue import FLAGSHIP
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.evaluation.evaluation import Evaluation
from resunet.files import file_sha256
from resunet.reports.slideshow_file import (
    Slide,
    case_slide,
    comparison_slide,
    finding_slides,
    head_slide,
    last_slide,
    slideshow_html,
    title_slide,
)

TITLE = "The slideshow"
OPENING = "typical_1"  # a sample
CASES = ("large_2", "none_1", "small_3")  # samples
REAL_CASES = 2  # patients, where their slices are here
SIMULATED = "This one is simulated."
REAL = "A real patient of the LGG set, held out from training."
# Samples, and what goes wrong in them.
FAILURE = {"cavity_3": "It fails: the dark fluid inside is outlined (orange) as if it were tumour. Blue: the true outline."}
HEIGHT = "calc(100dvh - 9rem)"  # what the window leaves beside the header and the line below


@st.cache_data(show_spinner="Preparing the slideshow", hash_funcs={Evaluation: lambda evaluation: evaluation.key})
def html(revision: str, measured: dict[str, Evaluation], address: str, patients: list[str]) -> str:
    """The slideshow on the bundled samples, slices of patients and the test figures, with the app's address at its end."""
    samples = {sample.name: sample for sample in load_samples()}

    def case(name: str, why: str = "") -> Slide:
        sample = samples[name]
        prediction = predictions.predict(sample.digest, 0, sample.image, tta=False)
        return case_slide(sample.image, sample.mask, prediction, SIMULATED if sample.simulated else "", why)

    findings = finding_slides(measured[FLAGSHIP]) if FLAGSHIP in measured else []
    if len(measured) > 1:
        findings.append(comparison_slide(measured))
    slides = [
        title_slide(samples[OPENING].image),
        *map(case, CASES),
        *map(real_case, patients),
        head_slide(),
        *findings,
        *(case(name, why) for name, why in FAILURE.items()),
        *([last_slide(address)] if can_be_reached(address) else []),
    ]
    return slideshow_html(slides)


def can_be_reached(address: str) -> bool:
    """Whether a visitor's phone can open an address: not where it is this machine's own."""
    return urlsplit(address).hostname not in (None, "localhost", "127.0.0.1", "::1")


def real_case(patient: str) -> Slide:
    """The slice with a patient's largest tumour."""
    number = loaders.largest_slice(patient)
    record = next(record for record in loaders.lgg_patients()[patient] if record.number == number)
    digest = file_sha256(record.image_path)
    return case_slide(record.image(), record.mask(), predictions.predict(digest, 0, record.image(), tta=False), REAL)


def held_out_patients() -> list[str]:
    """The first patients that were in no training, where real slices are here."""
    split_of = loaders.model_config(FLAGSHIP).split_of
    return [name for name in sorted(loaders.lgg_patients()) if split_of(name) is None][:REAL_CASES]


try:
    address = (st.context.url or "").removesuffix("slideshow")
    page = html(models.revision(), evaluations.of_all(evaluations.compared_models(), "test"), address, held_out_patients())
    frame = f"iframe[title='{TITLE}'], .stElementContainer:has(iframe[title='{TITLE}'])"
    st.html(f"<style>:is({frame}) {{ height: {HEIGHT} !important; min-height: 26rem; flex: none !important; }}</style>")
    st.iframe(page, height=600, alt=TITLE)
    with st.container(horizontal=True, vertical_alignment="center"):
        download("Download the show (HTML)", lambda: page, "brain-tumour-segmentation.html", icon=":material/download:")
        st.caption("One file. It opens in any browser and plays without this server and without a network.")
except InputError as error:
    show_error(error)
