"""What lies in the drop zone of the screen Volume: NIfTI files of a case, a DICOM study, or a patient's numbered slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.common import predictions, session, uploads
from pages.common.messages import escape_markdown
from pages.common.uploads import ImageFile
from resunet.data.archive import files_in
from resunet.data.samples import load_volumes
from resunet.errors import InputError
from resunet.examination import (
    MASK,
    SIGNATURE,
    Examination,
    Source,
    examination_of,
    find_sources,
    nifti_roles,
    of_series,
    sort_examinations,
    truth_of_slices,
)
from resunet.reading.formats.dicom import looks_like_dicom
from resunet.reading.names import may_be_image, stem_of
from resunet.reading.sequences import ROLES, SEQUENCE_WORDS
from resunet.reading.stored_file import StoredFile

UNUSED = "left out"
CHOICES = (*ROLES, MASK, UNUSED)
LABELS = {**SEQUENCE_WORDS, MASK: "Mask of the truth", UNUSED: "Left out"}
ZIP = b"PK\3\4"
EXPECTED = "give NIfTI files, the DICOM files of one examination, or the numbered slices of one patient"
DROPPED = "volume_dropped"  # in the session: the digests of what was dropped in, and its sources
SAMPLE = "volume_sample"  # in the session: the sample that is shown
SAMPLES = {"tumour": "With a tumour", "healthy": "Without a tumour"}


class Chosen(NamedTuple):
    """What is shown: an examination, and whether it is a bundled sample."""

    examination: Examination
    is_sample: bool = False


class Dropped(NamedTuple):
    """What was dropped in: the files, and the sequences among them."""

    files: list[StoredFile]
    sources: list[Source]


def choose_examination(row: DeltaGenerator) -> Chosen | None:
    """The files dropped in, or a sample's, which are offered in `row`, and what each is. Raises InputError."""
    uploaded = st.file_uploader(
        "Drop in one patient: NIfTI files, a DICOM series, an LGG folder's slices, or a zip file of them",
        accept_multiple_files=True,
        max_upload_size=uploads.ARCHIVE,
        key="volume_files",
        help="A FLAIR alone is enough, with or without the skull, in any orientation. Nothing is stored on the server.",
    )
    if uploaded:
        uploads.check_together(sum(file.size for file in uploaded) / 2**20)
        return Chosen(_sorted_out(_dropped(uploads.image_files(uploaded))))
    session.forget(DROPPED)
    with row:
        st.markdown("Or open a simulated sample:", width="content")
        for name, label in SAMPLES.items():
            st.button(label, key=f"open_{name}", on_click=lambda name=name: st.session_state.update({SAMPLE: name}))
    if (name := st.session_state.get(SAMPLE)) is None:
        return None
    files = [StoredFile.in_memory(file, content) for file, content in load_volumes()[name].items()]
    (examination,) = sort_examinations(files)
    return Chosen(examination, is_sample=True)


def _dropped(files: Sequence[ImageFile]) -> Dropped:
    """The files, those in a zip file in its place, sorted once. Raises InputError."""
    key = tuple(file.digest for file in files)

    def sort() -> Dropped:
        stored = _unpacked(files)
        with predictions.in_line(predictions.CASES, "Other visitors' volumes are read first."):
            return Dropped(stored, find_sources(stored, predictions.volume_decoder(), one_patient=True))

    return session.remembered(DROPPED, key, sort)


def _unpacked(files: Sequence[ImageFile]) -> list[StoredFile]:
    stored: list[StoredFile] = []
    for file in files:
        if file.content.startswith(ZIP):
            inside = [entry for entry in files_in(file.content, uploads.TOGETHER << 20) if may_be_image(entry.path.name)]
            if not inside:
                raise InputError("The zip file holds no image file; zip the folder that holds the images.")
            stored += [StoredFile.in_memory(entry.name, entry.read()) for entry in inside]
        else:
            stored.append(StoredFile.in_memory(file.name, file.content))
    names = Counter(file.name for file in stored)  # scanners call the files of every series the same
    return [
        StoredFile.in_memory(f"{number}/{file.name}", file.read()) if names[file.name] > 1 else file
        for number, file in enumerate(stored)
    ]


def _sorted_out(dropped: Dropped) -> Examination:
    """What the files are by their content, and of which the person says which. Raises InputError."""
    kinds = {kind: [source for source in dropped.sources if source.kind == kind] for kind in ("nifti", "dicom", "slices")}
    pictures = [source for source in dropped.sources if source.kind == "picture"]
    if kinds["nifti"] and not (kinds["dicom"] or kinds["slices"] or pictures):
        return _choose_roles(kinds["nifti"], dropped.files)
    if kinds["dicom"] and not kinds["nifti"]:  # what lies beside them, as a DICOMDIR or a readme, is none of the images
        return _choose_series(kinds["dicom"])
    if kinds["slices"] and not kinds["nifti"]:
        return _choose_patient(dropped.files, kinds["slices"])
    if pictures and all(looks_like_dicom(source.files[0].read(SIGNATURE)) for source in pictures):
        raise InputError("The DICOM files hold no series of several slices that say where they lie; export them again.")
    odd = [*pictures, *kinds["slices"], *kinds["dicom"]]
    if not odd:
        raise InputError(f"There is no image among the files; {EXPECTED}.")
    raise InputError(f"{odd[0].files[0].path.name} is no NIfTI file and belongs to no series; {EXPECTED}.")


def _choose_roles(sources: list[Source], files: list[StoredFile]) -> Examination:
    """What each NIfTI file is, as its name says or the person. Raises InputError."""
    if len(sources) == 1:
        return Examination(sources[0].reading.case or stem_of(sources[0].name), {"flair": sources[0]})
    known = nifti_roles(sources, files)
    by_role: dict[str, Source] = {}
    others = []
    for number, (column, source) in enumerate(zip(st.columns(len(sources)), sources, strict=True)):
        start = CHOICES.index(known.get(source.files[0].name, UNUSED))
        label = escape_markdown(source.name)
        key = f"role_{number}_{source.files[0].digest}"
        role = column.selectbox(label, CHOICES, start, format_func=LABELS.__getitem__, key=key)
        if role == UNUSED:
            others.append(source)
        elif role in by_role:
            raise InputError(f'Two files are marked {LABELS[role]}; set one to "{LABELS[UNUSED]}".')
        else:
            by_role[role] = source
    sequences = {role: by_role[role] for role in ROLES if role in by_role}
    main = sequences.get("flair") or sequences.get("post")
    if main is None:
        raise InputError("None of the files is FLAIR or contrast-enhanced T1, which the networks know; choose it above.")
    return examination_of(main.reading.case or stem_of(main.name), sequences, by_role.get(MASK), others)


def _choose_series(series: list[Source]) -> Examination:
    """The only series among DICOM files, or the one that the person chooses by its description, with those beside it."""
    chosen = series[0]
    if len(series) > 1:
        start = next((place for place, one in enumerate(series) if one.reading.sequence == "flair"), 0)
        chosen = st.selectbox("Series", series, start, format_func=_words, key="volume_series_choice")
    return of_series(chosen, series)


def _words(series: Source) -> str:
    return f"{series.description or 'No description'} ({series.slices:,} slices)"


def _choose_patient(files: list[StoredFile], patients: list[Source]) -> Examination:
    """The slices of the only patient, or of the one that the person chooses, with their masks where they are there."""
    chosen = patients[0]
    if len(patients) > 1:
        chosen = st.selectbox("Patient", patients, format_func=lambda patient: patient.reading.case, key="volume_patient")
    return Examination(chosen.reading.case, {"flair": chosen}, truth_of_slices(chosen, files))
