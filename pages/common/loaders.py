"""Cached access of the screens to the files: samples, patients, configurations and histories, read once for all visitors.

Everybody gets the same objects, which nobody may change.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from resunet import catalogue
from resunet.catalogue import Entry
from resunet.charts import overlay
from resunet.data import brats, lgg
from resunet.data.brats import BratsSlice
from resunet.data.samples import SAMPLES, T1CE, Sample, load_samples
from resunet.data.slices import SliceRecord, by_patient
from resunet.data.splits import NO_SITE, site, site_name
from resunet.errors import InputError
from resunet.files import PackedMasks
from resunet.hub import SETTING, find_samples, find_slice_set
from resunet.model_folder import HISTORY, SNAPSHOTS, SUMMARY, ModelConfig, ModelFolder

BRATS_SETTING = "BRATS_DATA"
KEPT_FILES = 128
RETRY_SECONDS = 600  # until a data set that could not be fetched is asked for again
THUMBNAIL = 60  # pixels
T = TypeVar("T")


@st.cache_resource(show_spinner="Fetching the samples")
def samples() -> tuple[Sample, ...]:
    """The slices to try: the owner's where ``RESUNET_HUB`` names a data set, else the bundled ones. Raises InputError."""
    return load_samples(find_samples())


@st.cache_resource(show_spinner=False)
def enhanced_samples() -> tuple[Sample, ...]:
    """The bundled slices of contrast-enhanced T1. Raises InputError."""
    return load_samples(SAMPLES / T1CE)


@st.cache_resource(show_spinner=False)
def thumbnails(enhanced: bool) -> dict[str, bytes]:
    """The main channel of each sample, or of each on contrast-enhanced T1, as a small PNG by name."""
    shown = enhanced_samples() if enhanced else samples()
    return {sample.name: overlay.encode_png(overlay.shrink(sample.image[..., 1], THUMBNAIL)) for sample in shown}


def lgg_patients() -> dict[str, list[SliceRecord]]:
    """Slices by patient where ``LGG_DATA`` names the data set or RESUNET_HUB pins real slices; otherwise empty."""
    try:
        return _patients(lgg.find_root())
    except InputError:
        return _pinned_patients(os.environ.get(SETTING, ""))


@st.cache_resource(show_spinner="Fetching real slices from the Hub", ttl=RETRY_SECONDS)
def _pinned_patients(setting: str) -> dict[str, list[SliceRecord]]:
    """Slices by patient of the pinned data set; empty where none is pinned, or it cannot be had; `setting` is RESUNET_HUB."""
    try:
        folder = find_slice_set()
        return _patients(lgg.find_root(folder)) if folder else {}
    except InputError:
        return {}


@st.cache_resource(show_spinner=False)
def _patients(root: Path) -> dict[str, list[SliceRecord]]:
    return by_patient(lgg.records(root))


def external_patients() -> dict[str, list[BratsSlice]]:
    """External slices by patient where ``BRATS_DATA`` names their folder; otherwise empty."""
    root = Path(os.environ.get(BRATS_SETTING, "")).expanduser()
    return _external(root) if os.environ.get(BRATS_SETTING) and brats.is_brats(root) else {}


@st.cache_resource(show_spinner=False)
def _external(root: Path) -> dict[str, list[BratsSlice]]:
    return by_patient(brats.records(root))


def patient_groups(patients: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Site of each patient; histology and grade too where ``LGG_DATA`` holds the clinical table."""
    sites = {"Site": {name: site_name(hospital) for name in patients if (hospital := site(name)) != NO_SITE}}
    try:
        return sites | lgg.clinical(lgg.find_root(), patients)
    except InputError:
        return sites


@st.cache_resource(show_spinner=False)
def largest_slice(patient: str) -> int:
    """Number of the patient's slice with the largest tumour."""
    return max(lgg_patients()[patient], key=lambda record: int(record.mask().sum())).number


def stamp(path: Path) -> float:
    """When a file changed last: part of the key, so that what a command wrote meanwhile is seen."""
    return path.stat().st_mtime if path.exists() else 0.0


def models() -> dict[str, Entry]:
    """What weights/ holds, by name, the flagship first; read again once a second, so that a new model is seen."""
    return _models(str(catalogue.WEIGHTS))


@st.cache_resource(show_spinner=False, ttl=1.0)
def _models(weights: str) -> dict[str, Entry]:
    return catalogue.read_catalogue()


def folder_of(name: str) -> ModelFolder:
    """The folder of a model by name. Raises InputError."""
    entry = models().get(name)
    return entry.folder if entry else catalogue.find_model(name)


def model_config(name: str) -> ModelConfig:
    """config.json of a model. Raises InputError."""
    entry = models().get(name)
    return entry.config if entry else catalogue.find_model(name).config()


def display_name(name: str) -> str:
    """What people read for a model's name."""
    return model_config(name).display_name


def history(folder: ModelFolder) -> pd.DataFrame | None:
    """history.csv of a model folder, or None. Raises InputError when it is damaged."""
    return _read(folder, ModelFolder.history, stamp(folder.path / HISTORY))


def summary(folder: ModelFolder, evaluation: str) -> dict[str, Any] | None:
    """summary.json of an evaluation, or None. Raises InputError when it is damaged."""
    changed = stamp(folder.evaluation_path(evaluation, SUMMARY))
    return _summary(folder, evaluation, changed)


def snapshots(folder: ModelFolder) -> tuple[list[str], PackedMasks] | None:
    """Names and masks of the sample slices by epoch, or None."""
    return _read(folder, ModelFolder.snapshots, stamp(folder.path / SNAPSHOTS))


@lru_cache(maxsize=KEPT_FILES)
def _read(folder: ModelFolder, read: Callable[[ModelFolder], T], changed: float) -> T:
    return read(folder)


@lru_cache(maxsize=KEPT_FILES)
def _summary(folder: ModelFolder, evaluation: str, changed: float) -> dict[str, Any] | None:
    return folder.summary(evaluation)
