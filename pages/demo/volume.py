"""Volume: drop in one patient's NIfTI files, see the tumour in three planes and in space, take the mask home."""

import numpy as np
import streamlit as st
from niivue_component import niivue_viewer

from pages.common import models, uploads, volumes
from pages.common.chart import chart
from pages.common.downloads import download
from pages.common.messages import escape_markdown, show_error
from pages.common.uploads import ImageFile
from resunet.charts.export import safe_csv
from resunet.charts.volume import by_slice
from resunet.data.case import ROLES, WORDS, case_and_role, is_truth
from resunet.data.formats.nifti import nifti_on_grid
from resunet.errors import InputError
from resunet.evaluation.volume_scores import score_volume
from resunet.hub import VOLUME_MODEL
from resunet.inference.predict_volumes import content_of
from resunet.inference.verdict import UNLIKE
from resunet.inference.volumes import VolumePrediction
from resunet.reports.volume_report import SPREAD, slices_table, volume_interval, volume_report

TRUTH, UNUSED = "truth", "left out"
CHOICES = (*ROLES, TRUTH, UNUSED)
LABELS = {**WORDS, TRUTH: "Mask of the truth", UNUSED: "Left out"}
HEIGHT = 640  # pixels of the viewer


def choose_files() -> volumes.Files | None:
    """A drop zone, and what each file is where there are several. Raises InputError."""
    uploaded = st.file_uploader(
        "Drop one NIfTI volume (FLAIR) or several of one patient (FLAIR, pre-contrast, post-contrast, a mask)",
        accept_multiple_files=True,
        max_upload_size=uploads.FILE,
        key="volume_files",
        help="With or without the skull, in any orientation. Nothing is stored on the server.",
    )
    if not uploaded:
        st.info("Nothing uploaded yet. A FLAIR volume is enough; the mask comes back on its grid, for any viewer.")
        return None
    uploads.check_together(sum(file.size for file in uploaded) / 2**20)
    files = uploads.image_files(uploaded)
    if len(files) == 1:
        return volumes.Files({"flair": files[0]})
    chosen = []
    for number, (column, file) in enumerate(zip(st.columns(len(files)), files, strict=True)):
        start, label = CHOICES.index(_guess(file)), escape_markdown(file.name)
        key = f"role_{number}_{file.digest}"
        chosen.append(column.selectbox(label, CHOICES, start, format_func=LABELS.__getitem__, key=key))
    for role in (*ROLES, TRUTH):
        if chosen.count(role) > 1:
            raise InputError(f"Two files are the {LABELS[role]}; say of one of them that it is left out.")
    by_role = dict(zip(chosen, files, strict=True))
    if "flair" not in by_role:
        raise InputError("None of the files is the FLAIR, which the networks need; choose it above.")
    return volumes.Files({role: by_role[role] for role in ROLES if role in by_role}, by_role.get(TRUTH))


def _guess(file: ImageFile) -> str:
    return TRUTH if is_truth(file.name) else case_and_role(file.name)[1] or UNUSED


@st.fragment
def show(name: str, files: volumes.Files, original: VolumePrediction) -> None:
    """Everything about one volume; moving the threshold redraws this part of the page only."""
    headline = st.container(gap="xsmall")
    left, right = st.columns([3, 2], gap="medium")
    with right:
        figures = st.container()
        threshold = st.slider(
            "Threshold",
            0.05,
            0.95,
            original.threshold,
            0.05,
            key="volume_threshold",
            help=f"Voxels of at least this probability are outlined. Chosen on validation: {original.threshold:.2f}.",
        )
    prediction = original.with_threshold(threshold)
    mask = prediction.axial_mask
    stage_1 = models.pipeline().stage_1
    certain = stage_1.threshold if stage_1 else 1.0
    content = content_of(prediction, mask, certain)
    table = slices_table(prediction, mask)
    with headline:
        _headline(content)
    with figures:
        _figures(prediction, content, float(table["diameter_mm"].max()))
        truth = _truth(prediction, mask, files.truth)
    with left:
        _viewer(files.roles["flair"], prediction, mask, truth)
    with right:
        chart(by_slice(table, certain), "volume_slices", "Along the head")
    with st.container(horizontal=True):
        report = {"file": files.roles["flair"].name, **content}
        download("Mask (NIfTI)", lambda: _on_grid(prediction, mask), f"{name}_mask.nii.gz")
        download("Report (JSON)", lambda: volume_report(report, prediction, VOLUME_MODEL, table), f"{name}.json")
        download("By slice (CSV)", lambda: safe_csv(table), f"{name}_slices.csv")


def _viewer(flair: ImageFile, prediction: VolumePrediction, mask: np.ndarray, truth: np.ndarray | None) -> None:
    """Three planes and a rendering; the mask, or where the truth is known its hits and misses, over them."""
    parts = [("outlined", "red", mask)]
    if truth is not None:
        parts = [("hit", "green", mask & truth), ("missed", "blue", truth & ~mask), ("false", "red", mask & ~truth)]
    niivue_viewer(
        flair.content,
        flair.name,
        overlays=[
            {"data": _on_grid(prediction, part), "name": f"{words}.nii.gz", "colormap": colour, "opacity": 0.5}
            for words, colour, part in parts
        ],
        height=HEIGHT,
        settings={"radiological": True, "crosshair": True},
        update_interval_ms=None,  # clicks stay in the browser
        key="niivue",
    )
    st.caption("Red: outlined." if truth is None else "Green: hit, blue: missed, red: false positive.")


def _on_grid(prediction: VolumePrediction, mask: np.ndarray) -> bytes:
    return nifti_on_grid(prediction.volume, prediction.volume.from_axial(mask).astype(np.uint8))


def _headline(content: dict) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        if content["unlike_training"]:
            st.badge(UNLIKE, icon=":material/warning:", color="red")
        st.badge("Research use only", icon=":material/science:", color="gray")
    found = f"{content['tumour_slices']:,} of {content['slices']:,} slices"
    p_tumour = "" if content["p_tumour"] is None else f", highest P(tumour) {content['p_tumour']:.1%}"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.header(content["verdict"], anchor=False, width="content")
        st.markdown(f"##### {found}{p_tumour}.", width="content")
    st.caption(escape_markdown(" ".join(content["notes"])))


def _figures(prediction: VolumePrediction, content: dict, diameter: float) -> None:
    first, second = st.columns(2)
    interval = volume_interval(prediction)
    spread = f"{interval[0]:.1f} to {interval[1]:.1f} ml, threshold ± {SPREAD}" if interval else None
    known = content["volume_ml"] is not None
    volume = f"{content['volume_ml']:.1f} ml" if known else f"{content['tumour_pixels']:,} voxels"
    first.metric("Volume", volume, spread, delta_color="off", delta_arrow="off", border=True)
    shown = "–" if np.isnan(diameter) else f"{diameter:.0f} mm"
    second.metric("Largest diameter", shown, "in an axial slice", delta_color="off", delta_arrow="off", border=True)


def _truth(prediction: VolumePrediction, mask: np.ndarray, file: ImageFile | None) -> np.ndarray | None:
    """Scores against the mask that came with the volume; returns it, or None, with a sentence where it does not fit."""
    if file is None:
        return None
    try:
        truth = volumes.read_truth(prediction, file)
    except InputError as error:
        show_error(error)
        return None
    scores = score_volume(prediction, mask, truth)
    labels = {
        "Dice with the truth": (scores.dice, "{:.3f}"),
        "HD95": (scores.hd95_mm, "{:.1f} mm"),
        "Predicted minus true": (scores.volume_error_ml, "{:+.1f} ml"),
    }
    for column, (label, (value, form)) in zip(st.columns(3), labels.items(), strict=True):
        column.metric(label, "–" if np.isnan(value) else form.format(value), border=True)
    return truth


st.title("Volume", anchor=False)
try:
    models.pipeline()
    chosen = choose_files()
    if chosen is not None:
        case = case_and_role(chosen.roles["flair"].name)[0]
        show(case, chosen, volumes.predict(case, chosen))
except InputError as error:
    show_error(error)
