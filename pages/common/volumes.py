"""A visitor's volume: decoded in the sandbox, segmented with progress, kept while there is room."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
from cachetools import LRUCache, cached

from pages.common import models, predictions
from pages.common.uploads import ImageFile
from resunet.data.case import Role, assemble, truth_on
from resunet.data.scan import BoolMask
from resunet.data.volume import Volume
from resunet.errors import InputError
from resunet.hub import VOLUME_MODEL
from resunet.inference.fair_lock import FairLock
from resunet.inference.volumes import OnProgress, VolumePrediction, predict_volume

KEPT = 96 << 20  # bytes of predictions for all visitors together
VOLUMES = FairLock(limit=20)  # one volume at a time; its forward passes take turns with other visitors' slices
MAX_SECONDS = 300  # that one visitor's volume may take while others wait


@dataclass(frozen=True)
class Files:
    """A case's files by role, and a mask of the truth where there is one."""

    roles: Mapping[Role, ImageFile]
    truth: ImageFile | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal keys mean equal predictions."""
        return (*sorted((role, file.digest) for role, file in self.roles.items()), models.revision_of(VOLUME_MODEL))


_kept: LRUCache[tuple[Any, ...], VolumePrediction] = LRUCache(KEPT, lambda prediction: prediction.probability.nbytes)
_lock = threading.Lock()


def predict(name: str, files: Files) -> VolumePrediction:
    """Both stages on a case, with a progress bar; pressing Cancel reruns the page, which ends this at the next slice.

    What is kept has no voxels: the mask's way back to their grid needs only the grid. Raises InputError.
    """
    with _lock:
        kept = _kept.get(files.key)
    if kept is not None:
        return kept
    place = st.empty()
    with predictions.in_line(VOLUMES, "Other visitors' volumes come first."), place.container():
        volume, loaded = read(name, files), models.pipeline_of(VOLUME_MODEL)
        try:
            prediction = predict_volume(loaded, volume, on_progress=_progress(volume.axial_depth))
        finally:
            loaded.stage_2.release()
    place.empty()
    grid = np.broadcast_to(np.float32(0), (*volume.shape, 1))
    prediction = replace(prediction, volume=replace(volume, voxels=grid))
    with _lock:
        if prediction.probability.nbytes <= KEPT:
            _kept[files.key] = prediction
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


def read(name: str, files: Files) -> Volume:
    """The case's files as one volume. Raises InputError."""
    decode = predictions.decoder().read_volume
    return assemble(name, {role: decode(file.content, file.name) for role, file in files.roles.items()})


@cached(LRUCache(2), lambda file: (file.digest, file.name), threading.Lock())
def _decode_truth(file: ImageFile) -> Volume:
    """A mask file, decoded once for all positions of the threshold. Raises InputError."""
    return predictions.decoder().read_volume(file.content, file.name)


def read_truth(prediction: VolumePrediction, file: ImageFile) -> BoolMask:
    """A mask file as axial slices (D, H, W). Raises InputError where it does not lie on the volume's grid."""
    return truth_on(prediction.volume, _decode_truth(file))
