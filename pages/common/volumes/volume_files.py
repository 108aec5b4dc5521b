"""What lies in the drop zone of the screen Volume: NIfTI files of a case, a DICOM series, or a patient's numbered slices."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.common import predictions, uploads
from pages.common.messages import escape_markdown
from pages.common.uploads import ImageFile
from pages.common.volumes.segmented_volume import Files
from resunet.data.archive import unpack
from resunet.data.case import ROLES, WORDS, case_and_role, is_truth
from resunet.data.samples import load_volumes
from resunet.data.stack import numbered_slices
from resunet.errors import InputError
from resunet.reading.formats.dicom import looks_like_dicom
from resunet.reading.formats.nifti import looks_like_nifti
from resunet.reading.formats.series import Series
from resunet.reading.names import stem_of

TRUTH, UNUSED = "truth", "left out"
CHOICES = (*ROLES, TRUTH, UNUSED)
LABELS = {**WORDS, TRUTH: "Mask of the truth", UNUSED: "Left out"}
ZIP = b"PK\3\4"
EXPECTED = "give NIfTI files, the DICOM files of one examination, or the numbered slices of one patient"
SAMPLE = "volume_sample"  # in the session: the sample that is shown
SAMPLES = {"tumour": "With a tumour", "healthy": "Without a tumour"}


def choose_files(row: DeltaGenerator) -> Files | None:
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
        return _sorted_out(_unpacked(uploads.image_files(uploaded)))
    with row:
        st.markdown("Or open a simulated sample:", width="content")
        for name, label in SAMPLES.items():
            st.button(label, key=f"open_{name}", on_click=lambda name=name: st.session_state.update({SAMPLE: name}))
    if (name := st.session_state.get(SAMPLE)) is None:
        return None
    files = [ImageFile(file, content, _digest(content)) for file, content in load_volumes()[name].items()]
    return _case(files, [_guess(file) for file in files], is_sample=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _unpacked(files: Sequence[ImageFile]) -> list[ImageFile]:
    """The files, and in place of a zip file those in it. Raises InputError."""
    found: list[ImageFile] = []
    for file in files:
        if file.content.startswith(ZIP):
            inside = unpack(file.content, uploads.TOGETHER << 20)
            found += [ImageFile(name, content, _digest(content)) for name, content in inside.items()]
        else:
            found.append(file)
    names = Counter(file.name for file in found)  # scanners call the files of every series the same
    return [replace(file, name=f"{number}/{file.name}") if names[file.name] > 1 else file for number, file in enumerate(found)]


def _sorted_out(files: list[ImageFile]) -> Files:
    """What the files are by their content, and of which the person says which. Raises InputError."""
    nifti = [file for file in files if looks_like_nifti(file.content)]
    dicom = [file for file in files if file not in nifti and looks_like_dicom(file.content)]
    others = [file for file in files if file not in nifti and file not in dicom]
    if nifti and not dicom and not others:
        return _choose_roles(nifti)
    if dicom and not nifti:  # what lies beside them, as a DICOMDIR or a readme, is none of the images
        return _choose_series(dicom)
    patients = numbered_slices(file.name for file in others)
    if nifti or dicom or not patients:
        odd = next(file for file in [*others, *dicom] if file not in nifti)
        raise InputError(f"{odd.name} is no NIfTI file and belongs to no series; {EXPECTED}.")
    return _choose_patient(others, patients)


def _choose_roles(files: list[ImageFile]) -> Files:
    """What each NIfTI file is, as its name says or the person. Raises InputError."""
    if len(files) == 1:
        return Files({"flair": files[0]})
    chosen = []
    for number, (column, file) in enumerate(zip(st.columns(len(files)), files, strict=True)):
        start, label = CHOICES.index(_guess(file)), escape_markdown(file.name)
        key = f"role_{number}_{file.digest}"
        chosen.append(column.selectbox(label, CHOICES, start, format_func=LABELS.__getitem__, key=key))
    return _case(files, chosen)


def _case(files: list[ImageFile], chosen: list[str], is_sample: bool = False) -> Files:
    for role in (*ROLES, TRUTH):
        if chosen.count(role) > 1:
            raise InputError(f"Two files are the {LABELS[role]}; say of one of them that it is left out.")
    by_role = dict(zip(chosen, files, strict=True))
    if "flair" not in by_role:
        raise InputError("None of the files is the FLAIR, which the networks need; choose it above.")
    roles = {role: by_role[role] for role in ROLES if role in by_role}
    return Files(roles, truth=by_role.get(TRUTH), is_sample=is_sample)


def _guess(file: ImageFile) -> str:
    return TRUTH if is_truth(file.name) else case_and_role(file.name)[1] or UNUSED


def _choose_series(files: list[ImageFile]) -> Files:
    """The only series among DICOM files, or the one that the person chooses by its description. Raises InputError."""
    by_name = {file.name: file for file in files}
    key = tuple(file.digest for file in files)
    known, found = st.session_state.get("volume_series", (None, []))
    if known != key:
        found = predictions.decoder().find_series({file.name: file.content for file in files})
        st.session_state["volume_series"] = key, found
    series = [one for one in found if len(one.files) > 1 or one.frames > 1]
    if not series:
        raise InputError("The DICOM files hold no series of several slices that say where they lie; export them again.")
    chosen = series[0]
    if len(series) > 1:
        start = next((place for place, one in enumerate(series) if "flair" in one.description.lower()), 0)
        chosen = st.selectbox("Series", series, start, format_func=_words, key="volume_series_choice")
    return Files(series=tuple(by_name[name] for name in chosen.files), description=chosen.description)


def _words(series: Series) -> str:
    slices = max(len(series.files), series.frames)
    return f"{series.description or 'No description'} ({slices:,} slices)"


def _choose_patient(files: list[ImageFile], patients: dict[str, list[str]]) -> Files:
    """The slices of the only patient, or of the one that the person chooses, with their masks where they are there."""
    by_name = {file.name: file for file in files}
    patient = next(iter(patients))
    if len(patients) > 1:
        patient = st.selectbox("Patient", list(patients), key="volume_patient")
    by_stem = {stem_of(file.name): file for file in files}
    slices = [by_name[name] for name in patients[patient]]
    masks = [by_stem.get(f"{stem_of(name)}_mask") for name in patients[patient]]
    return Files(stack=tuple(slices), masks=tuple(mask for mask in masks if mask) if all(masks) else ())
