"""Visitors' files and slices: decoded apart, judged in turn, kept while there is room."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from pages.common import models
from pages.common.kept import Kept
from pages.common.turns import Turns
from resunet.data.apart import Decoder
from resunet.data.readers import Scan
from resunet.errors import InputError
from resunet.memory import return_freed_memory

if TYPE_CHECKING:
    from resunet.pipeline import Prediction

WAITING = 100  # visitors
SCANS, PREDICTIONS, ROWS = 192 << 20, 48 << 20, 1 << 20  # bytes kept for all visitors together
BATCH, BATCH_PIXELS = 8, 8 * 512 * 512  # slices a turn, and pixels of all of them


@st.cache_resource(show_spinner=False)
def decoder() -> Decoder:
    """The process in which visitors' files are decoded."""
    return Decoder()


@st.cache_resource(show_spinner=False)
def _turns(what: str) -> Turns:
    return Turns(WAITING)


@st.cache_resource(show_spinner=False)
def _scans() -> Kept[Scan]:
    return Kept(SCANS, lambda scan: scan.slices.nbytes)


@st.cache_resource(show_spinner=False)
def _predictions() -> Kept[Prediction]:
    return Kept(PREDICTIONS, lambda found: found.nbytes)


@st.cache_resource(show_spinner=False)
def _rows() -> Kept[dict[str, Any]]:
    return Kept(ROWS, lambda row: 1024)


@contextmanager
def in_turn(what: str = "slice") -> Iterator[None]:
    """Wait for the models, showing how many visitors come first; who leaves meanwhile drops out of the line."""
    place = st.empty()
    words = "{} is being looked at first." if what == "slice" else "{} evaluation runs first."

    def show(ahead: int) -> None:
        place.caption(f"You are number {ahead + 1} in line. " + words.format(ahead))

    with _turns(what).take(show):
        place.empty()
        yield


def digest(content: bytes) -> str:
    """SHA-256 of a file's bytes: the key of everything computed from it."""
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes, name: str) -> Scan:
    """The checked slices of a file; a volume's are kept, a single one is soon decoded again. Raises InputError."""
    key = digest(content), name
    if (kept := _scans().get(key)) is not None:
        return kept
    scan = decoder().read(content, name)
    return _scans().put(key, scan) if len(scan.slices) > 1 else scan


def predict(content_digest: str, number: int, image: npt.NDArray[np.generic], tta: bool) -> Prediction:
    """Both stages on slice `number` of a file, kept by the file's digest, the models' revision and the settings.

    Raises:
        InputError: a model cannot be loaded, or too many visitors are waiting.
    """
    pipeline, key = models.pipeline(), (content_digest, number, tta, models.revision())
    if (found := _predictions().get(key)) is not None:
        return found
    with in_turn():
        found = _predictions().get(key)  # who was before may have asked for the same
        if found is None:
            found = _predictions().put(key, models.worker().submit(pipeline.predict, image, segment_all=True, tta=tta).result())
            return_freed_memory()
    return found


def judge_file(content: bytes, name: str) -> dict[str, Any]:
    """One row for a table of files: verdict, highest P(tumour), tumour pixels and slices, or the problem with the file.

    The row is kept, the decoded file only while there is room. Raises InputError as `predict`.
    """
    key = digest(content), name, models.revision()
    if (row := _rows().get(key)) is not None:
        return row
    try:
        scan = decode(content, name)
    except InputError as error:
        return _rows().put(key, {"verdict": "Not readable", "problem": str(error)})
    row = _judge(scan) if len(scan.slices) > 1 else _row(predict(digest(content), 0, scan.slices[0], tta=False))
    return _rows().put(key, {**row, "problem": ""})


def _row(found: Prediction) -> dict[str, Any]:
    """The row of a single slice, from the prediction that the viewer will show."""
    verdict = "No tumour found" if found.gated else "Tumour found"
    pixels = int(np.count_nonzero(found.mask))
    return {"verdict": verdict, "p_tumour": found.p_tumour, "tumour_pixels": pixels, "slices": 1}


def _judge(scan: Scan) -> dict[str, Any]:
    """Slices go through in batches, each in its turn, and nothing but their figures stays."""
    pipeline, count = models.pipeline(), len(scan.slices)
    p_tumour, pixels, passed = 0.0, 0, False
    batch = max(1, min(BATCH, BATCH_PIXELS // scan.slices[0, ..., 0].size))
    bar = st.progress(0.0) if count > batch else None
    for start in range(0, count, batch):
        if bar is not None:
            bar.progress(start / count, text=f"Slice {start + 1:,} of {count:,}")
        with in_turn():
            found = models.worker().submit(pipeline.predict_batch, list(scan.slices[start : start + batch])).result()
        p_tumour = max(p_tumour, *(prediction.p_tumour for prediction in found))
        pixels += sum(int(np.count_nonzero(prediction.mask)) for prediction in found)
        passed = passed or not all(prediction.gated for prediction in found)
    if bar is not None:
        bar.empty()
    verdict = "Tumour found" if passed else "No tumour found"
    return {"verdict": verdict, "p_tumour": p_tumour, "tumour_pixels": pixels, "slices": count}
