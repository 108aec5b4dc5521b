"""Overview: what the system does, how well, and the way in."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.common import evaluations, loaders, predictions
from pages.common.caching import of_slices
from pages.common.chart import chart
from pages.common.messages import show_error
from pages.common.metric_cards import metric_card
from resunet.charts import overlay
from resunet.charts.metrics import patient_dice
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.hub import FLAGSHIP, STAGE_1
from resunet.reports.case_report import verdict

SHOWN = "large_2"
PICTURE = 420
HEADLINES = (
    (FLAGSHIP, "volume_dice_mean", "Volume Dice, mean"),
    (FLAGSHIP, "tumour_slice_dice", "Dice, tumour slices"),
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
    """A bundled sample on its way through the two stages, one picture per column."""
    sample = next(sample for sample in load_samples() if sample.name == SHOWN)
    prediction = predictions.predict(sample.digest, 0, sample.image, tta=False)
    plain = overlay.render(sample.image, "FLAIR", overlay.Window(), PICTURE)
    grad_cam = overlay.draw(plain, prediction.mask, prediction.grad_cam, "heat", 0.7)
    outlined = overlay.draw(plain, prediction.mask, prediction.probability, "outline", 1.0)
    texts = (
        ("A slice goes in", plain, "Three channels: pre-contrast, FLAIR, post-contrast. This one is simulated."),
        ("Is there a tumour?", grad_cam, f"Stage 1. P(tumour) {prediction.p_tumour:.1%}; bright is evidence for a tumour."),
        ("Where?", outlined, f"Stage 2. {verdict(prediction)}"),
    )
    for column, (title, picture, caption) in zip(columns, texts, strict=True):
        with column:
            st.markdown(f"#### {title}")
            st.image(picture, width="stretch", alt=title)
            st.caption(caption)


def headline(model: str, name: str, label: str) -> None:
    """One figure of the test patients with its interval, or the plain words that it is not there."""
    evaluation = evaluations.find(model, "test")
    if evaluation is None:
        st.metric(label, "not evaluated yet", border=True)
        return
    metric_card(label, name, evaluation.summary["metrics"][name], f"resunet evaluate {model} --data DIR --split test")


def patients() -> None:
    """The chart of all test patients."""
    evaluation = evaluations.find(FLAGSHIP, "test")
    if evaluation is None:
        st.info(f"The test patients are not evaluated yet. Run: resunet evaluate {FLAGSHIP} --data DIR --split test")
        return
    chart(of_slices(patient_dice, evaluation), "patients", "Volume Dice of each test patient")
    st.caption(
        "Dice of each test patient's whole volume against the size of the tumour. Filled: the ten patients on which the "
        "public U-Net of mateuszbuda/brain-segmentation-pytorch reports a mean of 0.91 (it was selected on them)."
    )


def provenance() -> None:
    """What the figures rest on, from the flagship's configuration."""
    config = loaders.model_config(FLAGSHIP)
    st.caption(
        f"Research use only, not a medical device. Trained on {len(config.patients['train'])} patients of the "
        f"{config.data_set.name}, {config.data_set.licence}, split by {config.split_scheme}. After the QPAIN 2025 paper, DOI "
        "10.1109/QPAIN66474.2025.11171708, which reports Dice 0.98 on a split that, as far as stated, does not keep a "
        "patient's slices together."
    )


introduction, *pictures = st.columns(4, gap="medium")
with introduction:
    welcome()
try:
    st.subheader("On patients it has never seen", anchor=False)
    for column, figure in zip(st.columns(4), HEADLINES, strict=True):
        with column:
            headline(*figure)
    figures = st.container()
    provenance()
    steps(pictures)
    with figures:
        patients()  # last, because the browser reads and prepares Plotly for a second and does nothing else meanwhile
except InputError as error:
    show_error(error)
