"""Visitors' files and slices: decoded in a sandbox, predicted one after the other, kept while there is room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st
from cachetools import LRUCache, cached

from pages.common import models
from pages.common.uploads import ImageFile
from resunet.catalogue import FLAGSHIP
from resunet.errors import InputError, NoContrastError
from resunet.inference.fair_lock import FairLock
from resunet.inference.pipeline import Prediction, TumourPipeline
from resunet.inference.runtime import FORWARD_PASSES
from resunet.inference.triage import Triage, check_modality, triage_scan, triage_slice
from resunet.inference.verdict import UNLIKE, ScanSummary, not_judged
from resunet.reading.sandbox import SandboxedDecoder
from resunet.reading.scan import Plane, Scan
from resunet.reading.sequences import SequenceName

SCANS, PREDICTIONS = 64 << 20, 12 << 20  # bytes kept for all visitors together
ROWS = 1024  # of tables of files
NOT_READABLE = "Not readable"
ASKED_KEY = "judged_as"  # session key: by a file's SHA-256 what the visitor says that it shows
PICTURES, CASES = FairLock(limit=100), FairLock(limit=40)  # files that are read, one visitor's after the other's
EVALUATIONS = FairLock(limit=20)  # one visitor's evaluation at a time; its forward passes take turns with other visitors'


@st.cache_resource(show_spinner=False)
def decoder() -> SandboxedDecoder:
    """The process in which visitors' pictures are decoded."""
    return SandboxedDecoder()


@st.cache_resource(show_spinner=False)
def volume_decoder() -> SandboxedDecoder:
    """Another one for volumes and data sets, whose thousand files would hold up everybody's pictures."""
    return SandboxedDecoder()


@contextmanager
def in_line(lock: FairLock, words: str) -> Iterator[None]:
    """Wait for the lock, showing how many visitors are ahead; whoever leaves meanwhile drops out of the line."""
    place = st.empty()
    with lock.hold(lambda ahead: place.caption(f"You are number {ahead + 1} in line. {words}")):
        place.empty()
        yield


def _stored_bytes(scan: Scan) -> int:
    """One channel that is seen three times is held once."""
    return scan.slices.nbytes // (3 if scan.slices.strides[-1] == 0 else 1)


@cached(LRUCache(SCANS, _stored_bytes), lambda file: (file.digest, file.name), condition=threading.Condition())
def decode(file: ImageFile) -> Scan:
    """The checked slices of a file; whoever waits for others' files sees it. Raises InputError."""
    with in_line(PICTURES, "Other visitors' files are read first."):
        return decoder().read(file.content, file.name)


def asked_of(digest: str) -> SequenceName | None:
    """What this visitor said that a file shows."""
    asked: SequenceName | None = st.session_state.get(ASKED_KEY, {}).get(digest)
    return asked


def ask(digest: str, sequence: SequenceName | None) -> None:
    """Remember what this visitor says that a file shows; None forgets it."""
    st.session_state.setdefault(ASKED_KEY, {})[digest] = sequence


@cached(
    LRUCache(ROWS), lambda digest, number, image, stated, plane, asked: (digest, number, asked), condition=threading.Condition()
)
def triage(
    digest: str,
    number: int,
    image: npt.NDArray[np.generic],
    stated: SequenceName | None,
    plane: Plane | None,
    asked: SequenceName | None,
) -> Triage:
    """Which model knows slice `number` of the file with that SHA-256; the rest as of `triage_slice`. Raises InputError."""
    return triage_slice(image, stated, plane, asked)


def predict(
    digest: str,
    number: int,
    image: npt.NDArray[np.generic],
    tta: bool,
    spacing: tuple[float, float] | None = None,
    model: str = FLAGSHIP,
) -> Prediction:
    """A model, behind stage 1 where it has a gate, on slice `number` of the file with that SHA-256.

    Raises:
        InputError: a model cannot be loaded, too many visitors are waiting, or the slice shows nothing that could be judged.
    """
    return _predict(models.pipeline_of(model), image, tta, spacing, (digest, number, tta, models.revision_of(model)))


@cached(
    LRUCache(PREDICTIONS, lambda prediction: prediction.nbytes),
    lambda *arguments: arguments[-1],
    condition=threading.Condition(),
)
def _predict(
    pipeline: TumourPipeline,
    image: npt.NDArray[np.generic],
    tta: bool,
    spacing: tuple[float, float] | None,
    key: tuple[Any, ...],
) -> Prediction:
    with in_line(FORWARD_PASSES, "Other visitors' slices come first."):
        return pipeline.predict(image, segment_all=True, tta=tta, spacing=spacing)


def row_of(file: ImageFile) -> dict[str, Any]:
    """One row for a table of files: verdict, highest P(tumour), tumour pixels, slices and notes, or the problem with the file.

    Raises InputError as `predict`.
    """
    asked = asked_of(file.digest)
    return _row_of(file, asked, (file.digest, file.name, asked, models.revision()))


@cached(LRUCache(ROWS), lambda *arguments: arguments[-1], condition=threading.Condition())
def _row_of(file: ImageFile, asked: SequenceName | None, key: tuple[Any, ...]) -> dict[str, Any]:
    try:
        scan = decode(file)
        check_modality(scan)
    except InputError as error:
        return {"verdict": NOT_READABLE, "notes": "", "problem": str(error)}
    judged = triage_scan(scan, asked)
    if not judged.is_judged:
        return {"verdict": not_judged(judged.reason).headline, "notes": " ".join(judged.notes), "problem": ""}
    try:
        summary = _summary(file, scan, judged.model).content()
    except NoContrastError as error:
        return {"verdict": NOT_READABLE, "notes": "", "problem": str(error)}
    notes = [UNLIKE + "."] * summary["unlike_training"] + [*judged.notes, *summary["notes"]]
    return {**summary, "notes": " ".join(notes), "problem": ""}


def _summary(file: ImageFile, scan: Scan, model: str) -> ScanSummary:
    summary = ScanSummary(replace(scan, notes=models.pipeline_of(model).fitting(scan.notes)))
    count = len(scan.slices)
    if count == 1:  # what the viewer will show
        with suppress(NoContrastError):
            summary.add(predict(file.digest, 0, scan.slices[0], tta=False, spacing=scan.spacing, model=model))
        return summary
    # Slices take their turns one by one, and nothing but their figures stays.
    predictions = models.pipeline_of(model).predict_slices(scan.slices, spacing=scan.spacing)
    bar = st.progress(0.0)
    for number in range(count):
        bar.progress(number / count, text=f"Slice {number + 1:,} of {count:,}")
        with in_line(FORWARD_PASSES, "Other visitors' slices come first."):
            summary.add(next(predictions))
    bar.empty()
    return summary
