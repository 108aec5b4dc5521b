"""Overview: what the system does, how well, and the way in."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.common import judging, loaders
from pages.common.cards import figure_card
from pages.common.chart import chart
from pages.common.messages import show_error
from pages.common.once import once
from resunet import overlay
from resunet.charts.metrics import patient_dice
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.hub import FLAGSHIP, STAGE_1
from resunet.report import verdict

SHOWN = "large_2"
PICTURE = 420
HEADLINES = (
    (FLAGSHIP, "volume_dice_mean", "Volume Dice, mean"),
    (FLAGSHIP, "tumour_slice_dice", "Dice on tumour slices"),
    (STAGE_1, "accuracy", "Stage 1 accuracy"),
    (STAGE_1, "auroc", "Stage 1 AUROC"),
)


def welcome() -> None:
    """What this is, in two sentences, and the way in."""
    st.title("Brain-tumour segmentation in two stages", anchor=False)
    st.markdown(
        "A slice of a brain MRI goes in. A ResNet-50 says whether it shows a tumour; if so, a ResUNet trained with Tversky "
        "loss says where. Every figure below comes from patients that neither network has seen."
    )
    if st.button("Try it on a slice", type="primary", icon=":material/radiology:"):
        st.switch_page("pages/demo/single_image.py")


def steps(columns: Sequence[DeltaGenerator]) -> None:
    """A bundled sample on its way through the two stages, one picture a column."""
    sample = next(sample for sample in load_samples() if sample.name == SHOWN)
    found = judging.predict(judging.digest(sample.png), 0, sample.image, tta=False)
    plain = overlay.render(sample.image, "FLAIR", overlay.Window(), PICTURE)
    attention = overlay.draw(plain, found.mask, found.attention, "heat", 0.7)
    outlined = overlay.draw(plain, found.mask, found.probability, "outline", 1.0)
    texts = (
        ("A slice goes in", plain, "Three channels: pre-contrast, FLAIR, post-contrast. This one is simulated."),
        ("Is there a tumour?", attention, f"Stage 1. P(tumour) {found.p_tumour:.1%}; bright is where it looked."),
        ("Where?", outlined, f"Stage 2. {verdict(found)}"),
    )
    for column, (title, picture, caption) in zip(columns, texts, strict=True):
        with column:
            st.markdown(f"#### {title}")
            st.image(picture, width="stretch", alt=title)
            st.caption(caption)


def headline(model: str, name: str, label: str) -> None:
    """One figure of the test patients with its interval, or the plain words that it is not there."""
    summary = loaders.model_summary(model, "test")
    if summary is None:
        st.metric(label, "not evaluated yet", border=True)
        return
    figure_card(label, name, summary["metrics"][name], f"resunet evaluate {model} --data DIR --split test")


def patients() -> None:
    """The chart of all test patients."""
    slices = loaders.model_slices(FLAGSHIP, "test")
    if slices is None:
        st.info(f"The test patients are not evaluated yet. Run: resunet evaluate {FLAGSHIP} --data DIR --split test")
        return
    chart(once("test", patient_dice, slices), "patients", "Volume Dice of each test patient")
    st.caption(
        "Dice of each test patient's whole volume against the size of the tumour. Filled: the ten patients on which the "
        "public U-Net of mateuszbuda/brain-segmentation-pytorch reports a mean of 0.91 (it was selected on them)."
    )


introduction, *pictures = st.columns(4, gap="medium")
with introduction:
    welcome()
try:
    st.subheader("On patients it has never seen", anchor=False)
    for column, figure in zip(st.columns(4), HEADLINES, strict=True):
        with column:
            headline(*figure)
    patients()
    steps(pictures)  # last, because the first visitor waits here for the models to load
except InputError as error:
    show_error(error)
st.caption(
    "Research use only, not a medical device. Trained on 70 patients of the LGG MRI segmentation set (Buda et al. 2019, "
    "CC BY-NC-SA 4.0), split by patient. After the QPAIN 2025 paper, DOI 10.1109/QPAIN66474.2025.11171708, which reports "
    "Dice 0.98 on a split that, as far as stated, does not keep a patient's slices together."
)
