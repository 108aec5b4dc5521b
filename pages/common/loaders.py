"""Cached doors from the screens to the files: tables, masks and slices, read once for all visitors.

Everybody gets the same objects, which nobody may change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import pandas as pd
import streamlit as st

from pages.common import own
from pages.common.once import once
from resunet import overlay
from resunet.artifacts import ModelFolder
from resunet.data import lgg
from resunet.data.samples import Sample, load_samples
from resunet.data.slices import Slice, SliceRecord
from resunet.data.splits import NO_SITE, site
from resunet.errors import InputError
from resunet.evaluation.sweep import Sweep, table_at
from resunet.files import PackedMasks
from resunet.hub import find_model, find_samples

KEPT_TABLES = 128
THUMBNAIL = 116  # pixels
KEPT_ARRAYS = 6  # packed masks of 742 slices of 256x256 hold 6 MB
T = TypeVar("T")


@st.cache_resource(show_spinner="Fetching the samples")
def samples() -> tuple[Sample, ...]:
    """The slices to try: the owner's where ``RESUNET_HUB`` names a data set, else the bundled ones. Raises InputError."""
    return load_samples(find_samples())


@st.cache_resource(show_spinner=False)
def thumbnails() -> dict[str, bytes]:
    """FLAIR of each sample as a small PNG, by name."""
    return {sample.name: overlay.encode_png(overlay.shrink(sample.image[..., 1], THUMBNAIL)) for sample in samples()}


def lgg_patients() -> dict[str, list[SliceRecord]]:
    """Slices by patient where ``LGG_DATA`` names the data set; otherwise empty."""
    try:
        return _patients(lgg.find_root())
    except InputError:
        return {}


@st.cache_resource(show_spinner=False)
def _patients(root: Path) -> dict[str, list[SliceRecord]]:
    found: dict[str, list[SliceRecord]] = {}
    for record in lgg.records(root):
        found.setdefault(record.patient, []).append(record)
    return found


def patient_groups(patients: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Site of each patient; histology and grade too where ``LGG_DATA`` holds the clinical table."""
    sites = {"Site": {name: found for name in patients if (found := site(name)) != NO_SITE}}
    try:
        return sites | lgg.clinical(lgg.find_root(), patients)
    except InputError:
        return sites


def record_of(model: str, protocol: str, patient: str, number: int) -> Slice | None:
    """The slice's own image and mask where they are at hand: uploaded by this visitor, or under ``LGG_DATA``."""
    mine = own.kept(model) if protocol == own.PROTOCOL else None
    records: Sequence[Slice] = mine.records if mine else lgg_patients().get(patient, [])
    return next((record for record in records if record.patient == patient and record.number == number), None)


@st.cache_resource(show_spinner=False)
def largest_slice(patient: str) -> int:
    """Number of the patient's slice with the largest tumour."""
    return max(lgg_patients()[patient], key=lambda record: int(record.mask().sum())).number


def stamp(path: Path) -> float:
    """When a file changed last: part of the key, so that what an evaluation wrote meanwhile is seen."""
    return path.stat().st_mtime if path.exists() else 0.0


def config_path(name: str) -> Path:
    """config.json of a model, whose time stamp says when the model was last replaced. Raises InputError."""
    return find_model(name).config_path


def summary_path(name: str, protocol: str) -> Path:
    """summary.json of a model. Raises InputError."""
    return find_model(name).summary_path(protocol)


def has_weights(name: str) -> bool:
    """Whether the model can be run here; runs that answer a question keep everything but their weights."""
    return bool(model_config(name).get("members")) or find_model(name).weights_path.exists()


def model_config(name: str) -> dict[str, Any]:
    """config.json of a model. Raises InputError."""
    folder = find_model(name)
    return _read(folder.config_path, folder.config)


def model_protocols(name: str) -> list[str]:
    """Names of a model's evaluations, this visitor's own among them. Raises InputError."""
    return find_model(name).protocols() + ([own.PROTOCOL] if own.kept(name) else [])


def model_summary(name: str, protocol: str) -> dict[str, Any] | None:
    """summary.json of a model, or None when that evaluation has not been run. Raises InputError when it is damaged."""
    if protocol == own.PROTOCOL:
        return mine.summary if (mine := own.kept(name)) else None
    try:
        folder = find_model(name)
    except InputError:
        return None
    return _read(folder.summary_path(protocol), partial(folder.summary, protocol))


def model_slices(name: str, protocol: str) -> pd.DataFrame | None:
    """slices.csv of a model as a table, or None. Raises InputError when it is damaged."""
    if protocol == own.PROTOCOL:
        return mine.slices if (mine := own.kept(name)) else None
    folder = find_model(name)
    return _read(folder.slices_path(protocol), partial(folder.slices, protocol))


def slices_at(name: str, protocol: str, threshold: float) -> pd.DataFrame | None:
    """slices.csv at another threshold, from the stored sweep; None where that was not stored."""
    if protocol == own.PROTOCOL:
        return table_at(mine.slices, mine.sweep, threshold) if (mine := own.kept(name)) else None
    folder, slices = find_model(name), model_slices(name, protocol)
    stored = _read_large("sweep", folder.slices_path(protocol), partial(folder.sweep, protocol))
    return None if stored is None or slices is None else once(protocol, _slices_at, slices, stored, threshold)


def _slices_at(slices: pd.DataFrame, stored: dict[str, npt.NDArray[Any]], threshold: float) -> pd.DataFrame:
    return table_at(slices, Sweep(**stored), threshold)


def predicted_masks(name: str, protocol: str) -> PackedMasks | None:
    """Predicted masks (N, H, W) as rows of slices.csv, or None."""
    if protocol == own.PROTOCOL:
        return mine.masks if (mine := own.kept(name)) else None
    folder = find_model(name)
    return _read_large("masks", folder.slices_path(protocol), partial(folder.masks, protocol))


def history(folder: ModelFolder) -> pd.DataFrame | None:
    """history.csv of a model folder, or None. Raises InputError when it is damaged."""
    return _read(folder.history_path, folder.history)


def snapshots(folder: ModelFolder) -> tuple[list[str], PackedMasks] | None:
    """Names and masks of the sample slices by epoch, or None."""
    return _read_large("snapshots", folder.snapshots_path, folder.snapshots)


def _read(file: Path, read: Callable[[], T]) -> T:
    """What `read` makes of a file, kept until the file changes."""
    return _kept(file, stamp(file), read)


@st.cache_resource(max_entries=KEPT_TABLES, show_spinner=False)
def _kept(file: Path, changed: float, _read: Callable[[], Any]) -> Any:
    return _read()


def _read_large(what: str, file: Path, read: Callable[[], T]) -> T:
    """As `_read`; a few large ones are kept apart from the many small ones."""
    return _kept_large(what, file, stamp(file), read)


@st.cache_resource(max_entries=KEPT_ARRAYS, show_spinner=False)
def _kept_large(what: str, file: Path, changed: float, _read: Callable[[], Any]) -> Any:
    return _read()
