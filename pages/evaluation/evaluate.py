"""Evaluate: a visitor's own images and masks, or whole volumes, through a chosen model, for this visit alone."""

import io
import os
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import streamlit as st

from pages.common import loaders, predictions, session, uploads
from pages.common.dashboards import evaluate_volumes, evaluations, selection
from pages.common.downloads import download
from pages.common.messages import counted, escape_markdown, show_error
from resunet.data.archive import MAX_SLICES, files_in, read_archive
from resunet.data.membership import find_patient
from resunet.data.slices import Slice, by_patient, read_pair
from resunet.data.sources import all_slices
from resunet.errors import InputError
from resunet.evaluation.evaluation import UPLOADED, Evaluation
from resunet.examination import Examination, measurable_volumes, nifti_below
from resunet.files import encode_mask
from resunet.inference.triage import triage_slice

SECONDS_PER_SLICE = 0.1  # on two cores
MAX_SECONDS = 600  # that one visitor's evaluation may take while others wait
CHOSEN = "evaluate_chosen"  # in the session: what tells a zip file from others, and what it holds
COUNTS = "evaluate_counts"  # in the session: what tells the data from others, and the tumour pixels of each slice
REASONS = "evaluate_reasons"  # in the session: what tells data and model from others, and why slices would not be judged
LOOKS = 40  # patients of whom one slice is looked at
FOLDERS = "RESUNET_FOLDERS"  # set where the visitor may name folders of this machine: never on a public server

EXPECTED = (  # what a zip file may hold: an example, and what else
    (
        "Slices",
        "images/smith_1.png\nmasks/smith_1.png",
        "Or a folder per patient: smith/smith\\_1.tif beside smith\\_1\\_mask.tif.",
    ),
    ("Volumes", "smith_flair.nii.gz\nsmith_mask.nii.gz", "With smith\\_t1 and smith\\_t1ce where there are any."),
)


class ChosenData(NamedTuple):
    """A visitor's data: what to call them and what tells them from others; slices, with what was left out, or volumes."""

    name: str
    key: str
    slices: Sequence[Slice] = ()
    notes: Sequence[str] = ()
    volumes: Sequence[Examination] = ()


def choose_data() -> ChosenData | None:
    """A zip file, or a folder where that is allowed. Raises InputError."""
    upload = st.file_uploader("A zip file of images and masks", max_upload_size=uploads.ARCHIVE, key="upload_zip")
    for column, (kind, files, more) in zip(st.columns(2), EXPECTED, strict=True):
        column.markdown(f"**{kind}**")
        column.code(files, language=None)
        column.caption(more)
    download("Example (zip)", example_archive, "example.zip")
    if os.environ.get(FOLDERS):
        named = st.text_input("Or a folder on this machine", key="upload_folder", placeholder="/path/to/data")
        if named:
            folder = Path(named).expanduser()
            cases, notes = measurable_volumes(nifti_below(folder), predictions.volume_decoder())
            if cases:
                return ChosenData(named, named, (), notes, cases)
            records, _ = all_slices(folder)
            if len(records) > MAX_SLICES:
                raise InputError(
                    f"The folder holds {len(records):,} slices; evaluate it with resunet evaluate MODEL --split all."
                )
            return ChosenData(named, named, records)
    if upload is None:
        session.forget(CHOSEN)
        return None
    return session.remembered(CHOSEN, upload.file_id, lambda: read(upload.name, upload.file_id, upload.getvalue()))


def read(name: str, key: str, content: bytes) -> ChosenData:
    """What a zip file holds. Raises InputError."""
    cases, notes = measurable_volumes(files_in(content), predictions.volume_decoder())
    if cases:
        return ChosenData(name, key, (), notes, cases)
    listing = read_archive(content, predictions.volume_decoder().read)
    return ChosenData(name, key, listing.slices, listing.notes)


def example_archive() -> bytes:
    """The bundled sample slices and masks as a zip file, each as a patient of its own."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, sample in enumerate(loaders.samples(), start=1):
            archive.writestr(f"images/{sample.kind}_{number}.png", sample.png)
            archive.writestr(f"masks/{sample.kind}_{number}.png", encode_mask(sample.mask))
    return stream.getvalue()


def tumour_pixels(data: ChosenData) -> list[int]:
    """Tumour pixels in the mask of each slice, counted once a visit. Raises InputError where a mask does not fit its image."""

    def count() -> list[int]:
        bar = st.progress(0.0)
        counts = []
        for number, record in enumerate(data.slices):
            bar.progress(number / len(data.slices), text=f"Reading {number + 1:,} of {len(data.slices):,} slices")
            counts.append(int(read_pair(record).mask.sum()))
        bar.empty()
        return counts

    return session.remembered(COUNTS, data.key, count)


def unlike_what_it_knows(model: str, data: ChosenData) -> str:
    """A sentence where most patients' middle slices show something that the model was not trained on; else empty."""

    def look() -> list[str]:
        middles = [slices[len(slices) // 2] for slices in by_patient(data.slices).values()][:LOOKS]
        triages = [triage_slice(record.image()).with_model(model) for record in middles]
        return ["" if triage.is_judged else triage.reason for triage in triages]

    reasons = session.remembered(REASONS, (data.key, model), look)
    refused = [reason for reason in reasons if reason]
    if 2 * len(refused) <= len(reasons):
        return ""
    return (
        f"Of {counted(len(reasons), 'patient')} looked at, {len(refused)} would not be judged on Single image: "
        f"{Counter(refused).most_common(1)[0][0]}. The figures would say little about the model."
    )


def trained_on(model: str, records: Sequence[Slice]) -> list[str]:
    """Patients among the slices that the model was trained on, by the middle slice of each patient."""
    config = loaders.model_config(model)
    middles = [slices[len(slices) // 2] for slices in by_patient(records).values()]
    known = [(record.patient, find_patient(record.image())) for record in middles]
    return [name for name, patient in known if patient is not None and config.split_of(patient) == "train"]


def evaluate(model: str, records: Sequence[Slice]) -> Evaluation:
    """Run the model over the slices with a progress bar. Pressing Cancel reruns the page, which ends this at the next slice."""
    bar = st.progress(0.0, text=f"0 of {len(records):,} slices")
    started = time.monotonic()

    def on_progress(done: int) -> None:
        spent = time.monotonic() - started
        if spent > MAX_SECONDS:
            raise InputError(
                f"After {MAX_SECONDS / 60:.0f} minutes, {done:,} of {len(records):,} slices are done, and others are waiting; "
                "give fewer slices, or run resunet evaluate on a machine of your own."
            )
        left = spent / done * (len(records) - done)
        bar.progress(done / len(records), text=f"{done:,} of {len(records):,} slices, about {left:,.0f} s left")

    st.button("Cancel", key="evaluate_cancel")
    measured = evaluations.measure(model, (UPLOADED, uuid4().hex), records, on_progress)
    return replace(measured, training_patients=trained_on(model, records))


def result(evaluation: Evaluation) -> None:
    """The main figures and the ways on."""
    summary = evaluation.summary
    dice = summary["metrics"]["volume_dice_mean"]
    slices = counted(summary["n_slices"], "slice")
    interval = f"{dice['value']:.3f} ({dice['low']:.3f} to {dice['high']:.3f}) over {counted(dice['n'], 'patient')}, {slices}."
    finding = f"mean volume Dice {interval}"
    if summary["n_tumour_slices"] == 0:
        finding = f"{slices}, none with a tumour in its mask, so Dice says nothing; see the false positives on empty slices."
    st.success(f"{evaluation.display_name}: {finding}", icon=":material/check_circle:")
    if evaluation.training_patients:
        names = escape_markdown(", ".join(evaluation.training_patients))
        st.warning(f"In the training set, so the figures flatter the model: {names}.")
    with st.container(horizontal=True):
        where = {"model": evaluation.model, "evaluation": UPLOADED}
        st.page_link("pages/evaluation/metrics.py", label="All figures", icon=":material/monitoring:", query_params=where)
        st.page_link("pages/evaluation/cases.py", label="Slice by slice", icon=":material/grid_view:", query_params=where)
        st.button("Forget my data", icon=":material/delete:", on_click=evaluations.forget, key="evaluate_forget")


def show() -> None:
    """Choose, run, and the outcome."""
    runnable = [name for name, config in evaluations.measured_runs("segmentation").items() if config.keeps_weights]
    if not runnable:
        st.info("No model with weights is bundled. Run: resunet train --all")
        return
    answer = st.container()  # above what was asked, so that it is seen without scrolling
    model = st.selectbox("Model", runnable, format_func=loaders.display_name, key="evaluate_model")
    data = choose_data()
    if data is not None and data.volumes:
        evaluate_volumes.show(model, escape_markdown(data.name), list(data.volumes), data.notes, data.key)
    elif data is not None:
        counts = tumour_pixels(data)
        patients = len({record.patient for record in data.slices})
        seconds = SECONDS_PER_SLICE * len(data.slices)
        st.caption(
            f"{escape_markdown(data.name)}: {len(data.slices):,} slices of {patients:,} patients, "
            f"{sum(count > 0 for count in counts):,} with a tumour, {sum(counts):,} tumour pixels; about {seconds:,.0f} s."
        )
        for note in data.notes:
            st.caption(escape_markdown(note))
        if unlike := unlike_what_it_knows(model, data):
            st.warning(escape_markdown(unlike))
        if st.button("Evaluate", type="primary", icon=":material/play_arrow:", key="evaluate_start"):
            with predictions.in_line(predictions.EVALUATIONS, "Other visitors' evaluations run first."):
                evaluations.keep(evaluate(model, data.slices))
                selection.carry("model", model)
                selection.carry("evaluation", UPLOADED)
            st.rerun()
    if (evaluation := evaluations.uploaded().get(model)) is not None:
        with answer:
            result(evaluation)


st.title("Evaluate your own data", anchor=False)
st.markdown(
    "Slices and true masks go through the model as on the test set; the results join Metrics, Comparison and Cases. Whole "
    "volumes are scored by case, in millimetres and millilitres. Everything stays in memory and is gone when you leave."
)
try:
    show()
except InputError as error:
    show_error(error)
