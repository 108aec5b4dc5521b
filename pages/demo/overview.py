"""Overview: what the system does, how well, and the way in."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.common import loaders, predictions
from pages.common.chart import chart
from pages.common.dashboards import evaluations, selection
from pages.common.dashboards.caching import of_slices
from pages.common.dashboards.metric_cards import metric_card, reported_card
from pages.common.messages import show_error
from pages.common.stories import falling_dice, head_in_hand
from resunet.catalogue import FLAGSHIP, STAGE_1, VOLUME_MODEL
from resunet.charts import overlay
from resunet.charts.metric_charts import patient_dice
from resunet.data.brats import DIFFERENCES
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.evaluation.aggregate import rates_at
from resunet.evaluation.cross_validation import CROSS_VALIDATED, REPORTED_MEAN, REPORTED_READERS
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.evaluation import EXTERNAL, NO_TUMOUR, Evaluation
from resunet.evaluation.external import MIN_TUMOUR, headline_figures, large_enough
from resunet.evaluation.headlines import headlines as headlines_of
from resunet.inference.verdict import FOUND, UNCLEAR, percent, verdict

SHOWN = "large_2"
PICTURE = 420
SETS = {
    "test": "Held out from training and from every choice of a threshold or an epoch.",
    CROSS_VALIDATED: "Every patient outlined by a network that was trained on others, in five folds; stage 2 alone.",
    EXTERNAL: f"Nothing was trained or chosen on them; patients with under {MIN_TUMOUR} tumour pixels are left out. "
    f"{DIFFERENCES}",
}
TOUR = (
    (
        "pages/demo/single_image.py",
        "1. Single image",
        "Pick a sample, drag the threshold, look at hits and misses. Or drop in a slice.",
    ),
    ("pages/demo/play.py", "2. Play", "You against the network, alone or with a room full of phones."),
    ("pages/demo/volume.py", "3. Volume", "A whole examination in three planes and in space. Download the mask."),
    (
        "pages/evaluation/comparison.py",
        "4. Comparison",
        "Other architectures on the same patients, and which differences are real.",
    ),
    ("pages/evaluation/cases.py", "5. Cases", "Every slice, the worst first: where it fails."),
    ("pages/evaluation/training.py", "6. Training", "Press Play and watch a network learn."),
    ("pages/demo/about.py", "7. About", "How it works, what every measure means, how to cite it."),
)
LGG = "glioma patients of five American hospitals"
WHO = {"test": LGG, CROSS_VALIDATED: LGG, EXTERNAL: "glioma patients of other hospitals and scanners"}
SEGMENTERS = (FLAGSHIP, VOLUME_MODEL)
STAGE_1_FIGURES = {"test": ("accuracy", "auroc"), EXTERNAL: ("sensitivity",)}


def welcome() -> DeltaGenerator:
    """What this is, in two sentences, and the way in; returns the place for what it reaches."""
    st.title("Brain-tumour segmentation in two stages", anchor=False)
    reached = st.container()
    st.markdown(
        "A slice of a brain MRI goes in. One network (ResNet-50) says whether it shows a tumour; if so, another (ResUNet-Lite) "
        "outlines it. The head is simulated; the figures below it are of patients that the networks have not seen."
    )
    if st.button("Try it on a slice", type="primary", icon=":material/radiology:"):
        st.switch_page("pages/demo/single_image.py")
    if st.button("Guide", icon=":material/explore:", key="tour"):
        tour()
    return reached


@st.dialog("Guide")
def tour() -> None:
    """What each screen is for, with the way there."""
    for page, label, words in TOUR:
        st.page_link(page, label=label)
        st.caption(words)


def steps(columns: Sequence[DeltaGenerator]) -> None:
    """A bundled sample on its way through the two stages, one picture per column."""
    sample = next(sample for sample in load_samples() if sample.name == SHOWN)
    prediction = predictions.predict(sample.digest, 0, sample.image, tta=False)
    plain = overlay.render(sample.image, PICTURE)
    grad_cam = overlay.heat_over(plain, prediction.grad_cam * overlay.head_mask(sample.image), 0.7)
    outlined = overlay.outline(plain, prediction.mask, overlay.PREDICTED)
    texts = (
        ("A slice goes in", plain, "Three channels: pre-contrast, FLAIR, post-contrast. This one is simulated."),
        (
            "Is there a tumour?",
            grad_cam,
            f"Stage 1. P(tumour) {percent(prediction.p_tumour)}. Colour: Grad-CAM, a coarse hint at what it rests on.",
        ),
        ("Where?", outlined, f"Stage 2. {verdict(prediction)}"),
    )
    for column, (title, picture, caption) in zip(columns, texts, strict=True):
        with column:
            st.markdown(f"#### {title}")
            st.image(picture, width="stretch", alt=title)
            st.caption(caption)


def finding(name: str) -> None:
    """How well, and on whom, in one sentence."""
    evaluation = evaluations.find(FLAGSHIP, name)
    if evaluation is None:
        return
    dice = figures_of(evaluation)["volume_dice_mean"]
    readers = f"; two human readers are reported to agree by {REPORTED_READERS:.2f}" if name != EXTERNAL else ""
    st.markdown(
        f"##### On {dice['n']:,} {WHO[name]} that it never saw, its outlines overlap the experts' by {dice['value']:.2f}"
        f"{readers}. (Dice: 1 is identical, 0 no overlap.)"
    )


def headlines(name: str) -> None:
    """Both segmentation models on a set, and what belongs beside them: stage 1 there, or what others report."""
    medians = []
    columns = iter(st.columns(4))
    for model in SEGMENTERS:
        evaluation = evaluations.find(model, name)
        label = f"{loaders.display_name(model)}, mean volume Dice"
        with next(columns):
            headline(model, name, "volume_dice_mean", label)
        if evaluation is not None:
            median = figures_of(evaluation)["volume_dice_median"]
            medians.append(f"{evaluation.display_name} {median['value']:.3f} ({median['low']:.3f} to {median['high']:.3f})")
    stage_1 = evaluations.find(STAGE_1, name)
    for figure in STAGE_1_FIGURES.get(name, ()):
        at = f" at {stage_1.threshold:.2f}" if stage_1 is not None and figure != "auroc" else ""
        with next(columns):
            headline(STAGE_1, name, figure, f"Stage 1 alone{at}, {LABELS[figure]}")
    if name == CROSS_VALIDATED:
        source = "Buda, Saha, Mazurowski 2019, the authors' project page."
        with next(columns):
            reported_card("U-Net, mean volume Dice", f"{REPORTED_MEAN:.3f}", "n = 110 patients, 22 folds", source)
        with next(columns):
            reported_card("two readers, mean Dice", f"{REPORTED_READERS:.2f}", "± 0.02", source)
    st.caption(
        f"{SETS[name]} The app outlines slices with {loaders.display_name(FLAGSHIP)}, volumes with "
        f"{loaders.display_name(VOLUME_MODEL)}. Dice: outlining alone, before the gate, with 95 % intervals. Medians: "
        f"{'; '.join(medians)}. {at_the_gate(name)}"
    )


def at_the_gate(name: str) -> str:
    """What stage 1 lets through at the gate, and what both stages say of people who have no tumour.

    Where stage 1 was not run on a set, what it does on the test set.
    """
    measured_on = name if evaluations.find(STAGE_1, name) else "test"
    stage_1 = evaluations.find(STAGE_1, measured_on)
    gate = loaders.model_config(FLAGSHIP).gate
    if stage_1 is None or gate is None:
        return ""
    rates = of_slices(rates_at, stage_1, gate.threshold)
    start = "At the gate" if measured_on == name else "On the test set, at the gate"
    shares = {
        "slices with a tumour": rates["sensitivity"],
        "those without one": 1 - rates["specificity"],
    }
    passed = " and ".join(f"{share:.0%} of {what}" for what, share in shares.items() if not math.isnan(share))
    return f"{start}, stage 1 passes {passed} on to stage 2. {in_people_without_a_tumour()}"


def in_people_without_a_tumour() -> str:
    """How often the app finds a tumour in people who have none and were in no training; empty where that was not measured."""
    measured = evaluations.find(FLAGSHIP, NO_TUMOUR)
    config = loaders.model_config(FLAGSHIP)
    if measured is None or config.gate is None:
        return ""
    by_slice = of_slices(headlines_of, measured, config.gate.threshold, loaders.model_config(STAGE_1).threshold)
    found, unclear = ((by_slice == headline).mean() for headline in (FOUND, UNCLEAR))
    return (
        f"In {measured.slices['patient'].nunique()} people with multiple sclerosis and no tumour, it says “{FOUND}” on "
        f"{found:.0%} of the slices and “{UNCLEAR}” on {unclear:.0%}. Never measured: children, other brain diseases, scans "
        "after surgery."
    )


def headline(model: str, evaluation: str, figure: str, label: str) -> None:
    """One figure with its interval, or the plain words that it is not there."""
    measured = evaluations.find(model, evaluation)
    if measured is None:
        st.metric(label, "not evaluated yet", border=True)
        return
    metric_card(label, figure, figures_of(measured)[figure], f"Re-derive: {evaluations.command(model, evaluation)}")


def figures_of(evaluation: Evaluation) -> Mapping[str, Any]:
    """The figures of a set; of the external slices without those that show a speck of tumour, as on the other screens."""
    if evaluation.name != EXTERNAL or not evaluation.segments:
        return evaluation.summary["metrics"]
    return of_slices(headline_figures, evaluation)


def dice_of_large_tumours(slices: pd.DataFrame) -> go.Figure:
    """The chart of the external patients whose mean stands above it."""
    return patient_dice(large_enough(slices))


def patients(name: str) -> None:
    """The chart of all patients of a set."""
    evaluation = evaluations.find(FLAGSHIP, name)
    if evaluation is None:
        return
    title = f"{evaluation.display_name}: volume Dice of each patient"
    chart(of_slices(dice_of_large_tumours if name == EXTERNAL else patient_dice, evaluation), "patients", title)
    filled = (
        " Filled: the ten patients on whom the public U-Net of mateuszbuda/brain-segmentation-pytorch reports a mean of 0.91 "
        "(it was selected on them)."
    )
    st.caption("Dice of the whole volume against the size of the tumour." + ("" if name == EXTERNAL else filled))


def provenance() -> None:
    """What the figures rest on, from the flagship's configuration."""
    config = loaders.model_config(FLAGSHIP)
    st.caption(
        f"Research use only, not a medical device. Trained on {len(config.patients['train'])} patients of the "
        f"{config.data_set.name}, {config.data_set.licence}, split by {config.split_scheme}. After the QPAIN 2025 paper, DOI "
        "10.1109/QPAIN66474.2025.11171708, which reports Dice 0.98 on a split that, as far as stated, does not keep a "
        "patient's slices together."
    )


introduction, head = st.columns([2, 3], gap="medium")
with introduction:
    first_of_all = welcome()
with head:
    head_in_hand.show()
try:
    st.subheader("On patients it has never seen", anchor=False)
    offered = [name for name in evaluations.MAIN_SETS if name in evaluations.names(FLAGSHIP)]
    if offered:
        shown = selection.choose_set(FLAGSHIP, offered, offered[0], buttons=True)
        with first_of_all:
            finding(offered[0])
        if shown != offered[0]:
            finding(shown)
        headlines(shown)
    else:
        st.info(f"Nothing is evaluated yet. Run: {evaluations.command(FLAGSHIP, 'test')}")
    steps(st.columns(3, gap="medium"))
    why, figures = st.columns(2, gap="large")
    with why:
        st.subheader("Can the published Dice of 0.98 be repeated?", anchor=False)
        falling_dice.show()
    provenance()
    with figures:
        if offered:
            patients(shown)  # last, because the browser reads and prepares Plotly for a second and does nothing else meanwhile
except InputError as error:
    show_error(error)
