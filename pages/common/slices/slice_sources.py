"""The three ways to choose a slice: a bundled sample, an upload, a patient of the data set."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.common import loaders, predictions, uploads
from pages.common.messages import escape_markdown
from pages.common.slices.shown_slice import ShownSlice
from pages.common.uploads import ImageFile
from resunet.catalogue import FLAGSHIP
from resunet.charts.chart_files import escape_formula
from resunet.data.membership import find_patient
from resunet.data.samples import Sample
from resunet.data.splits import site, site_name
from resunet.files import file_sha256
from resunet.reading.scan import FORMATS

KIND_LABELS = {
    "typical": "Typical",
    "large": "Large",
    "small": "Small",
    "faint": "Faint",
    "cavity": "Cavity",
    "none": "No tumour",
}
FAILURES = {  # samples on which the system fails, and why
    "cavity_3": "Here it fails: the dark fluid inside the tumour is outlined as if it were tumour.",
    "small_2": "Here it is unsure: stage 1 overlooks a tumour this small, and the outline alone is too weak to call it one.",
}
FIRST_SAMPLE, FIRST_ENHANCED = "large_1", "meningioma_convexity_axial"


def sample_label(sample: Sample) -> str:
    """'Small 2' for small_2; other names as they are, words apart."""
    kind, _, number = sample.name.rpartition("_")
    return f"{KIND_LABELS[kind]} {number}" if kind in KIND_LABELS else sample.name.replace("_", " ").capitalize()


def choose_sample() -> ShownSlice:
    """A strip of thumbnails, one button each."""
    return _choose_from({sample.name: sample for sample in loaders.samples()}, FIRST_SAMPLE, enhanced=False)


def choose_enhanced_sample() -> ShownSlice:
    """The same for contrast-enhanced T1."""
    return _choose_from({sample.name: sample for sample in loaders.enhanced_samples()}, FIRST_ENHANCED, enhanced=True)


def _choose_from(samples: dict[str, Sample], first: str, enhanced: bool) -> ShownSlice:
    pictures = loaders.thumbnails(enhanced)
    first = first if first in samples else next(iter(samples))
    chosen = st.session_state.get("sample") or st.query_params.get("sample")
    chosen = chosen if chosen in samples else first
    with st.container(horizontal=True, wrap=False, gap="xsmall", key="gallery"):
        for name, sample in samples.items():
            _thumbnail(sample, pictures[name], chosen=chosen == name)
    sample = samples[chosen]
    if chosen in FAILURES:
        st.caption(FAILURES[chosen])
    title = f"{'Simulated sample' if sample.simulated else 'Sample'}: {sample_label(sample)}"
    return ShownSlice(
        title,
        sample.digest,
        0,
        sample.image,
        sample.mask,
        simulated=sample.simulated,
        stated="post" if enhanced else None,
        sides=("AP" if sample.plane == "sagittal" else "RL") if sample.simulated else "",
        link={"sample": chosen},
    )


def _thumbnail(sample: Sample, picture: bytes, chosen: bool) -> None:
    with st.container(width=loaders.THUMBNAIL, gap=None, key=f"thumbnail_{sample.name}"):
        st.image(picture, width=loaders.THUMBNAIL, alt=f"Thumbnail of {sample_label(sample)}")
        st.button(
            sample_label(sample),
            key=f"sample_{sample.name}",
            type="primary" if chosen else "secondary",
            width="stretch",
            help=sample_label(sample),
            on_click=_choose,
            args=(sample.name,),
        )


def _choose(name: str) -> None:
    """Show a sample and write it into the address, without what belonged to another."""
    st.session_state["sample"] = name
    for key in ("threshold", "layer"):
        st.query_params.pop(key, None)
    st.query_params["sample"] = name


def choose_upload() -> ShownSlice | None:
    """A drop zone for files, a table of what became of each, and the chosen row's slice."""
    files = st.file_uploader(
        f"Drop MRI slices here ({FORMATS})",
        accept_multiple_files=True,
        max_upload_size=uploads.FILE,
        help="Greyscale FLAIR or three channels (pre-contrast, FLAIR, post-contrast). Nothing is stored on the server.",
    )
    if not files:
        st.info("Nothing uploaded yet. Drop one or more files above; each is read, classified and outlined at once.")
        return None
    uploads.check_together(sum(file.size for file in files) / 2**20)
    images = uploads.image_files(files)
    table = _table_of(images)
    row = _select_row(table) if len(images) > 1 else 0
    file = images[row]
    if table.loc[row, "problem"]:
        st.error(escape_markdown(str(table.loc[row, "problem"])))
        return None
    scan = predictions.decode(file)
    title = file.name
    number = 0
    if (count := len(scan.slices)) > 1:
        number = st.slider("Slice", 1, count, value=(count + 1) // 2, key=f"slice_of_{count}") - 1
        title = f"{file.name}, slice {number + 1} of {count}"
    image = scan.slices[number]
    return ShownSlice(
        title,
        file.digest,
        number,
        image,
        patient=find_patient(image),
        spacing=scan.spacing,
        notes=scan.notes,
        stated=scan.sequence,
        plane=scan.plane,
        sides=scan.sides,
    )


def _table_of(images: list[ImageFile]) -> pd.DataFrame:
    """Read and predict every file with a progress bar; one row per file."""
    rows: list[dict[str, Any]] = []
    bar = st.progress(0.0, text="Reading") if len(images) > 1 else None
    for position, file in enumerate(images):
        if bar is not None:
            bar.progress(position / len(images), text=f"{escape_markdown(file.name)} ({position + 1} of {len(images)})")
        rows.append({"file": file.name, **predictions.row_of(file)})
    if bar is not None:
        bar.empty()
    columns = ["file", "verdict", "p_tumour", "tumour_pixels", "slices", "notes", "problem"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _select_row(table: pd.DataFrame) -> int:
    """The uploads as a table; returns the selected row, the first readable one until somebody selects."""
    event = st.dataframe(
        table.assign(file=table["file"].map(escape_formula)),
        key="uploads",
        hide_index=True,
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "file": st.column_config.TextColumn("File", pinned=True),
            "verdict": st.column_config.TextColumn("Verdict"),
            "p_tumour": st.column_config.ProgressColumn("P(tumour)", min_value=0, max_value=1, format="percent"),
            "tumour_pixels": st.column_config.NumberColumn("Tumour, pixels", format="localized"),
            "slices": st.column_config.NumberColumn("Slices"),
            "notes": st.column_config.TextColumn("Notes", width="medium"),
            "problem": st.column_config.TextColumn("Problem", width="large"),
        },
    )
    chosen = [row for row in event["selection"]["rows"] if row < len(table)]  # a longer table may have stood here before
    readable = table.index[table["problem"] == ""]
    return int(chosen[0]) if chosen else int(readable[0]) if len(readable) else 0


def choose_patient() -> ShownSlice:
    """Patient and slice of the LGG set, with its true mask."""
    patients = loaders.lgg_patients()
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    config = loaders.model_config(FLAGSHIP)
    asked = st.query_params
    names = sorted(patients, key=lambda name: (config.split_of(name) == "train", name))  # held-out patients first
    start = names.index(asked["patient"]) if asked.get("patient") in names else 0

    def words(name: str) -> str:
        return f"{name} ({site_name(site(name))}{', in the training set' if config.split_of(name) == 'train' else ''})"

    patient = left.selectbox("Patient", names, start, format_func=words, key="patient")
    records = patients[patient]
    numbers = [record.number for record in records]
    wanted = int(asked["slice"]) if patient == asked.get("patient") and asked.get("slice", "").isdigit() else None
    first = wanted if wanted in numbers else loaders.largest_slice(patient)
    number = right.select_slider("Slice", numbers, value=first, key=f"slice_{patient}")
    record = records[numbers.index(number)]
    title = f"{patient}, slice {number}"
    link = {"patient": patient, "slice": str(number)}
    return ShownSlice(title, file_sha256(record.image_path), 0, record.image(), record.mask(), patient=patient, link=link)
