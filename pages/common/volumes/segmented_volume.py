"""A visitor's volume: decoded in the sandbox, segmented with progress, kept while there is room."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from cachetools import LRUCache, cached

from pages.common import loaders, models, predictions, session
from resunet.catalogue import VOLUME_MODEL, find_model
from resunet.errors import InputError
from resunet.examination import Examination
from resunet.inference.fair_lock import FairLock
from resunet.inference.prepared import prepared_path, read_prepared
from resunet.inference.triage import Triage, check_modality, triage_volume
from resunet.inference.volume_pipeline import OnProgress, VolumePrediction, predict_volume
from resunet.reading.formats.nifti import nifti_on_grid
from resunet.reading.scan import Array, BoolMask
from resunet.reading.volume_scan import Volume

KEPT = 96 << 20  # bytes of predictions for all visitors together
VOLUMES = FairLock(limit=20)  # one volume at a time; its forward passes take turns with other visitors' slices
MAX_SECONDS = 300  # that one visitor's volume may take while others wait
PICTURE = "volume_picture"  # session key: (examination key, the viewer's NIfTI file)
PLANES = "volume_planes"  # session key: (examination key, slices)


_kept: LRUCache[tuple[Any, ...], JudgedVolume] = LRUCache(KEPT, lambda judged: judged.nbytes)
_lock = threading.Lock()


class JudgedVolume(NamedTuple):
    """What was found of an examination: by which model, and its prediction; None where no model knows what it shows."""

    triage: Triage
    prediction: VolumePrediction | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.prediction.probability.nbytes if self.prediction else 0


def judge(examination: Examination, model: str = VOLUME_MODEL) -> JudgedVolume:
    """Stage 1 and a model on a case, with a progress bar; pressing Cancel reruns the page, which ends it at the next slice.

    Where the case shows what another model knows, that one takes its place. What is kept has no voxels: the mask's way back to
    their grid needs only the grid. Raises InputError.
    """
    asked = predictions.asked_of(key_of(examination))
    key = (*examination.key, models.revision_of(model), asked)
    with _lock:
        kept = _kept.get(key)
    if kept is not None:
        return kept
    place = st.empty()
    with predictions.in_line(VOLUMES, "Other visitors' volumes come first."), place.container():
        volume = examination.volume(predictions.volume_decoder())
        check_modality(volume)
        triage = triage_volume(volume, examination.main.reading.sequence, asked)
        if not triage.is_judged:
            return JudgedVolume(triage)
        triage = triage if triage.model != VOLUME_MODEL else replace(triage, model=model)
        prediction = _predict(examination, volume, triage.model)
    place.empty()
    if examination.main.kind != "nifti":
        session.keep(PICTURE, examination.key, _picture(volume))
    grid = np.broadcast_to(np.float32(0), (*volume.shape, 1))
    notes = (*triage.notes, *prediction.notes)
    judged = JudgedVolume(triage, replace(prediction, volume=replace(volume, voxels=grid), notes=notes))
    with _lock:
        if judged.nbytes <= KEPT:
            _kept[key] = judged
    return judged


def _predict(examination: Examination, volume: Volume, model: str) -> VolumePrediction:
    """What was made beforehand, as for the samples, else a forward pass a slice."""
    pipeline = models.pipeline_of(model)
    prepared = read_prepared(prepared_path(find_model(model), pipeline, examination.key), pipeline, volume)
    if prepared is not None:
        return prepared
    try:
        return predict_volume(pipeline, volume, on_progress=_progress(volume.axial_depth))
    finally:
        pipeline.stage_2.release()


def key_of(examination: Examination) -> str:
    """One text that tells an examination from every other."""
    return " ".join(examination.key)


def _progress(slices: int) -> OnProgress:
    """Shows how far it is; raises InputError when it takes too long."""
    bar = st.progress(0.0, text=f"0 of {slices:,} slices")
    started = time.monotonic()
    st.button("Cancel", key="volume_cancel")

    def on_progress(done: int) -> None:
        spent = time.monotonic() - started
        if spent > MAX_SECONDS:
            raise InputError(f"After {MAX_SECONDS / 60:.0f} minutes, {done:,} of {slices:,} slices are done; give fewer.")
        left = spent / done * (slices - done)
        bar.progress(done / slices, text=f"{done:,} of {slices:,} slices, about {left:,.0f} s left")

    return on_progress


def picture(examination: Examination) -> bytes:
    """FLAIR as a NIfTI file, for the viewer. Raises InputError."""
    if examination.main.kind == "nifti":
        return examination.main.files[0].read()
    return session.remembered(PICTURE, examination.key, lambda: _picture(examination.volume(predictions.volume_decoder())))


def planes(examination: Examination) -> Array:
    """Axial slices (D, H, W, 3), for a browser that cannot show the volume itself. Raises InputError."""
    return session.remembered(PLANES, examination.key, lambda: examination.volume(predictions.volume_decoder()).axial())


def forget() -> None:
    """Let go of what this visitor's viewer showed."""
    session.forget(PICTURE, PLANES)


def _picture(volume: Volume) -> bytes:
    return nifti_on_grid(volume, volume.voxels[..., 1])


def segmentation(examination: Examination, mask: BoolMask, model: str) -> bytes:
    """A DICOM SEG of a model's mask (I, J, K) of the series. Raises InputError."""
    contents = examination.main.contents
    config = loaders.model_config(model)
    words, sequence = config.display_name, config.data_set.sequence
    return predictions.volume_decoder().write_segmentation(contents, examination.name, mask, words, sequence)


def _key_of_truth(examination: Examination, volume: Volume) -> tuple[str, ...]:
    return (*examination.key, *(file.digest for file in examination.truth.files))


@cached(LRUCache(2), _key_of_truth, condition=threading.Condition())
def _true_mask(examination: Examination, volume: Volume) -> BoolMask:
    return examination.true_mask(volume, predictions.volume_decoder())


def read_truth(prediction: VolumePrediction, examination: Examination) -> BoolMask | None:
    """The true mask as axial slices (D, H, W), where there is one, decoded once for all positions of the threshold.

    Raises InputError where it does not fit the volume.
    """
    return _true_mask(examination, prediction.volume) if examination.truth else None
