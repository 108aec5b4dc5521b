"""Evaluate: a visitor's own images and masks through a chosen model; the results join the other screens for this visit."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from pages.common import judging, loaders, models, own, picks, uploads
from pages.common.messages import plain, show_error
from resunet.data.archive import LAYOUTS, MAX_SLICES, read_archive
from resunet.data.membership import find_slice
from resunet.data.slices import Slice
from resunet.data.sources import all_records
from resunet.errors import InputError

MAX_SECONDS = 600  # that one visitor's evaluation may take while others wait
FOLDERS = "RESUNET_FOLDERS"  # set where the visitor may name folders of this machine: never on a public server


def choose_slices() -> tuple[str, Sequence[Slice]] | None:
    """A zip file, or a folder where that is allowed: what it is called, and its slices. Raises InputError."""
    upload = st.file_uploader("A zip file of images and masks", max_upload_size=uploads.ARCHIVE, key="own_zip")
    st.caption(f"It should hold {plain(LAYOUTS)}.")
    if os.environ.get(FOLDERS):
        named = st.text_input("Or a folder on this machine", key="own_folder", placeholder="/path/to/data")
        if named:
            records = all_records(Path(named).expanduser())
            if len(records) > MAX_SLICES:
                raise InputError(
                    f"The folder holds {len(records):,} slices; evaluate it with resunet evaluate MODEL --split all."
                )
            return named, records
    if upload is None:
        return None
    return upload.name, read_archive(upload.getvalue(), judging.decoder().read)


def seen_in_training(records: Sequence[Slice]) -> list[str]:
    """Patients of the training set among the slices, by the middle slice of each patient."""
    by_patient: dict[str, list[Slice]] = {}
    for record in records:
        by_patient.setdefault(record.patient, []).append(record)
    middles = [slices[len(slices) // 2] for slices in by_patient.values()]
    known = [(record.patient, find_slice(record.image())) for record in middles]
    return [patient for patient, found in known if found is not None and found.part == "train"]


def evaluate(model: str, records: Sequence[Slice]) -> own.Own:
    """Run the model over the slices with a progress bar. Pressing Cancel reruns the page, which ends this at the next batch."""
    from resunet.evaluation.run import measure, protocol_of_models, summarise

    stage_2, stage_1 = models.stage_2(model, loaders.stamp(loaders.config_path(model))), models.pipeline().stage_1
    protocol = protocol_of_models(own.PROTOCOL, stage_2, stage_1)
    bar, started = st.progress(0.0, text=f"0 of {len(records):,} slices"), time.monotonic()

    def watch(done: int) -> None:
        spent = time.monotonic() - started
        if spent > MAX_SECONDS:
            raise InputError(
                f"After {MAX_SECONDS / 60:.0f} minutes, {done:,} of {len(records):,} slices are done, and others are waiting; "
                "give fewer slices, or run resunet evaluate on a machine of your own."
            )
        left = spent / done * (len(records) - done)
        bar.progress(done / len(records), text=f"{done:,} of {len(records):,} slices, about {left:,.0f} s left")

    st.button("Cancel", key="own_cancel")
    found = measure(stage_2, stage_1, records, protocol, watch)
    summary = summarise(found.slices, model, protocol)
    return own.Own(summary, found.slices, found.sweep, found.masks, records, seen_in_training(records))


def result(model: str, found: own.Own) -> None:
    """The main figures and the ways on."""
    dice, slices = found.summary["metrics"]["volume_dice_mean"], f"{found.summary['n_slices']:,} slices"
    interval = f"{dice['value']:.3f} ({dice['low']:.3f} to {dice['high']:.3f}) over {dice['n']} patients, {slices}."
    said = f"mean volume Dice {interval}"
    if found.summary["n_tumour_slices"] == 0:
        said = f"{slices}, none with a tumour in its mask, so Dice says nothing; see the false alarms on empty slices."
    st.success(f"{model}: {said}", icon=":material/check_circle:")
    if found.seen_in_training:
        st.warning(f"In the training set, so the figures flatter the model: {plain(', '.join(found.seen_in_training))}.")
    with st.container(horizontal=True):
        where = {"model": model, "protocol": own.PROTOCOL}
        st.page_link("pages/evaluation/metrics.py", label="All figures", icon=":material/monitoring:", query_params=where)
        st.page_link("pages/evaluation/cases.py", label="Slice by slice", icon=":material/grid_view:", query_params=where)
        st.button("Forget my data", icon=":material/delete:", on_click=own.forget, key="own_forget")


def show() -> None:
    """Choose, run, and the outcome."""
    runnable = [name for name in picks.measured_models("segmentation") if loaders.has_weights(name)]
    if not runnable:
        st.info("No model with weights is bundled. Run: resunet train --all")
        return
    model = st.selectbox("Model", runnable, key="own_model")
    chosen = choose_slices()
    if chosen is not None:
        name, records = chosen
        patients = len({record.patient for record in records})
        st.caption(f"{plain(name)}: {len(records):,} slices of {patients:,} patients, about {0.1 * len(records):,.0f} s.")
        if st.button("Evaluate", type="primary", icon=":material/play_arrow:", key="own_start"):
            with judging.in_turn("evaluation"):
                own.keep(model, evaluate(model, records))
            st.rerun()
    if (found := own.kept(model)) is not None:
        result(model, found)


st.title("Evaluate your own data", anchor=False)
st.markdown(
    "Images and true masks go through the model as on the test set; the results join Metrics, Comparison and Cases. "
    "Everything stays in memory and is gone when you leave."
)
try:
    show()
except InputError as error:
    show_error(error)
