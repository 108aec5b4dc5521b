"""A visitor's volume: decoded in the sandbox, segmented with progress, kept while there is room."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import streamlit as st
from cachetools import LRUCache, cached

from pages.common import loaders, models, predictions
from pages.common.uploads import ImageFile
from resunet.catalogue import VOLUME_MODEL
from resunet.data.case import Role, assemble, case_and_role, truth_on
from resunet.data.pairing import NUMBERED
from resunet.data.stack import stacked
from resunet.errors import InputError
from resunet.inference.fair_lock import FairLock
from resunet.inference.volume_pipeline import OnProgress, VolumePrediction, predict_volume
from resunet.reading.formats.nifti import nifti_on_grid
from resunet.reading.names import stem_of
from resunet.reading.scan import Array, BoolMask, mask_of
from resunet.reading.volume_scan import Volume

KEPT = 96 << 20  # bytes of predictions for all visitors together
VOLUMES = FairLock(limit=20)  # one volume at a time; its forward passes take turns with other visitors' slices
MAX_SECONDS = 300  # that one visitor's volume may take while others wait
PICTURE = "volume_picture"  # in the session: the key of what the viewer shows, and its NIfTI file
PLANES = "volume_planes"  # in the session: the key of what the slices show, and they


@dataclass(frozen=True)
class Files:
    """One patient: NIfTI files by role, or the files of a DICOM series, or numbered slices; with the truth where it is there.

    Attributes:
        truth: a NIfTI file beside those by role.
        masks: of the numbered slices, in their order.
        description: of the series, as its files state it.
    """

    roles: Mapping[Role, ImageFile] = field(default_factory=dict)
    series: tuple[ImageFile, ...] = ()
    stack: tuple[ImageFile, ...] = ()
    truth: ImageFile | None = None
    masks: tuple[ImageFile, ...] = ()
    description: str = ""
    is_sample: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal keys mean equal voxels."""
        roles = sorted((role, file.digest) for role, file in self.roles.items())
        slices = [file.digest for file in (*self.series, *self.stack)]
        return (*roles, *slices)

    @property
    def name(self) -> str:
        """What to call the patient's files."""
        if self.roles:
            return case_and_role(PurePosixPath(self.roles["flair"].name).name)[0]
        first = PurePosixPath((*self.series, *self.stack)[0].name)
        if self.stack and (match := NUMBERED.match(stem_of(first.name))):
            return match["patient"]
        return self.description or first.parent.name or stem_of(first.name)


_kept: LRUCache[tuple[Any, ...], VolumePrediction] = LRUCache(KEPT, lambda prediction: prediction.probability.nbytes)
_lock = threading.Lock()


def predict(files: Files, model: str = VOLUME_MODEL) -> VolumePrediction:
    """Stage 1 and a model on a case, with a progress bar; pressing Cancel reruns the page, which ends it at the next slice.

    What is kept has no voxels: the mask's way back to their grid needs only the grid. Raises InputError.
    """
    key = (*files.key, models.revision_of(model))
    with _lock:
        kept = _kept.get(key)
    if kept is not None:
        return kept
    place = st.empty()
    with predictions.in_line(VOLUMES, "Other visitors' volumes come first."), place.container():
        volume, loaded = read(files), models.pipeline_of(model)
        loaded.check_modality(volume)
        try:
            prediction = predict_volume(loaded, volume, on_progress=_progress(volume.axial_depth))
        finally:
            loaded.stage_2.release()
    place.empty()
    _keep_picture(files, volume)
    grid = np.broadcast_to(np.float32(0), (*volume.shape, 1))
    prediction = replace(prediction, volume=replace(volume, voxels=grid))
    with _lock:
        if prediction.probability.nbytes <= KEPT:
            _kept[key] = prediction
    return prediction


def _progress(slices: int) -> OnProgress:
    """Shows how far it is; raises InputError when it takes too long."""
    bar, started = st.progress(0.0, text=f"0 of {slices:,} slices"), time.monotonic()
    st.button("Cancel", key="volume_cancel")

    def on_progress(done: int) -> None:
        spent = time.monotonic() - started
        if spent > MAX_SECONDS:
            raise InputError(f"After {MAX_SECONDS / 60:.0f} minutes, {done:,} of {slices:,} slices are done; give fewer.")
        left = spent / done * (slices - done)
        bar.progress(done / slices, text=f"{done:,} of {slices:,} slices, about {left:,.0f} s left")

    return on_progress


def read(files: Files) -> Volume:
    """The case's files as one volume. Raises InputError."""
    decoder = predictions.decoder()
    if files.series:
        volume = decoder.read_series(_contents(files), files.name)
        return replace(assemble(files.name, {"flair": volume}), modality=volume.modality)
    if files.stack:
        scans = [decoder.read(file.content, file.name) for file in files.stack]
        return assemble(files.name, {"flair": stacked(files.name, scans)})
    return assemble(files.name, {role: decoder.read_volume(file.content, file.name) for role, file in files.roles.items()})


def picture(files: Files) -> bytes:
    """FLAIR as a NIfTI file, for the viewer. Raises InputError."""
    if files.roles:
        return files.roles["flair"].content
    if st.session_state.get(PICTURE, (None, b""))[0] != files.key:
        _keep_picture(files, read(files))
    content: bytes = st.session_state[PICTURE][1]
    return content


def planes(files: Files) -> Array:
    """Axial slices (D, H, W, 3), for a browser that cannot show the volume itself. Raises InputError."""
    if st.session_state.get(PLANES, (None,))[0] != files.key:
        st.session_state[PLANES] = files.key, read(files).axial()
    slices: Array = st.session_state[PLANES][1]
    return slices


def forget() -> None:
    """Let go of what this visitor's viewer showed."""
    for name in (PICTURE, PLANES):
        st.session_state.pop(name, None)


def _keep_picture(files: Files, volume: Volume) -> None:
    if not files.roles:
        st.session_state[PICTURE] = files.key, nifti_on_grid(volume, volume.voxels[..., 1])


def _contents(files: Files) -> dict[str, bytes]:
    return {file.name: file.content for file in files.series}


def segmentation(files: Files, mask: BoolMask, model: str) -> bytes:
    """A DICOM SEG of a model's mask (I, J, K) of the series. Raises InputError."""
    return predictions.decoder().write_segmentation(_contents(files), files.name, mask, loaders.display_name(model))


@cached(LRUCache(2), lambda file: (file.digest, file.name), threading.Lock())
def _decode_truth(file: ImageFile) -> Volume:
    """A mask file, decoded once for all positions of the threshold. Raises InputError."""
    return predictions.decoder().read_volume(file.content, file.name)


def read_truth(prediction: VolumePrediction, files: Files) -> BoolMask | None:
    """The true mask as axial slices (D, H, W), where there is one. Raises InputError where it does not fit the volume."""
    if files.truth is not None:
        return truth_on(prediction.volume, _decode_truth(files.truth))
    if not files.masks:
        return None
    truth = np.stack([mask_of(predictions.decode(file)) for file in files.masks])
    if truth.shape != prediction.probability.shape:
        raise InputError("The masks differ in size from the slices; give those of the same patient.")
    return truth
