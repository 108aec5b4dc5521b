"""Cached doors from the screens to the package: one model for all visitors, results kept by content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from resunet.artifacts import ModelFolder
from resunet.data import lgg
from resunet.data.readers import Scan, read_scan
from resunet.data.slices import SliceRecord
from resunet.errors import InputError
from resunet.hub import FLAGSHIP, STAGE_1, find_model

if TYPE_CHECKING:
    from resunet.pipeline import Prediction, TumourPipeline

KEPT_PREDICTIONS = 24  # a prediction of 256x256 holds 0.8 MB
KEPT_SCANS = 8


@st.cache_resource(show_spinner="Loading the models, once for all visitors")
def pipeline() -> TumourPipeline:
    """The shared pipeline. Raises InputError, which is not kept, when a model cannot be loaded."""
    from resunet.pipeline import TumourPipeline  # torch takes seconds to import; dashboards do without it

    return TumourPipeline.load()


@st.cache_data(show_spinner=False)
def revision() -> str:
    """What identifies the two models; part of every cache key."""
    return "-".join(str(find_model(name).config()["sha256"])[:12] for name in (FLAGSHIP, STAGE_1))


@st.cache_data(max_entries=KEPT_SCANS, show_spinner=False)
def decode(content: bytes, name: str) -> Scan:
    """The checked slices of a file. Raises InputError."""
    return read_scan(content, name)


def digest(content: bytes) -> str:
    """SHA-256 of a file's bytes: the cache key for everything computed from it."""
    return hashlib.sha256(content).hexdigest()


def predict(content_digest: str, number: int, image: npt.NDArray[np.generic], tta: bool) -> Prediction:
    """Both stages on slice `number` of a file, kept by the file's digest, the models' revision and the settings."""
    return _predict(content_digest, number, tta, revision(), image)


@st.cache_data(max_entries=KEPT_PREDICTIONS, show_spinner=False)
def _predict(content_digest: str, number: int, tta: bool, revision_: str, _image: npt.NDArray[np.generic]) -> Prediction:
    # Arrays are hashed by sampling, so that two slices differing in a small lesion could collide: the digest is the key.
    return pipeline().predict(_image, segment_all=True, tta=tta)


@st.cache_data(show_spinner=False)
def lgg_patients() -> dict[str, list[SliceRecord]]:
    """Slices by patient where ``LGG_DATA`` names the data set; otherwise empty."""
    try:
        root = lgg.find_root()
    except InputError:
        return {}
    found: dict[str, list[SliceRecord]] = {}
    for record in lgg.records(root):
        found.setdefault(record.patient, []).append(record)
    return found


@st.cache_data(show_spinner=False)
def largest_slice(patient: str) -> int:
    """Number of the patient's slice with the largest tumour."""
    return max(lgg_patients()[patient], key=lambda record: int(record.mask().sum())).number


@st.cache_data(show_spinner=False)
def model_config(name: str) -> dict[str, Any]:
    """config.json of a bundled model. Raises InputError."""
    return find_model(name).config()


@st.cache_data(show_spinner=False)
def model_summary(name: str, protocol: str) -> dict[str, Any] | None:
    """summary.json of a bundled model, or None when that evaluation has not been run."""
    try:
        return find_model(name).summary(protocol)
    except InputError:
        return None


@st.cache_data(show_spinner=False)
def model_slices(name: str, protocol: str) -> Any:
    """slices.csv of a bundled model as a table, or None."""
    folder = ModelFolder(Path(find_model(name).path))
    return folder.slices(protocol)
