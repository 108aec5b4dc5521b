"""One model measured on one set of slices, wherever the figures come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pandas as pd

from resunet.data.slices import Slice
from resunet.evaluation.aggregate import gate_slices
from resunet.evaluation.filters import select_slices
from resunet.evaluation.measure import Measurements
from resunet.evaluation.sweep import Sweep, table_at
from resunet.files import PackedMasks
from resunet.model_folder import MASKS, SUMMARY, SWEEP, ModelFolder

EXTERNAL = "external"  # the name of an evaluation on another data set than the model's
NO_TUMOUR = "no_tumour"  # the evaluation of people without a tumour that no network was trained on
NO_TUMOUR_VAL = "no_tumour_val"  # the same on those of validation
POST_CONTRAST = "post_contrast"  # of LGG slices without a tumour, by a network that knows contrast-enhanced T1
UPLOADED = "uploaded"  # the name of an evaluation of a visitor's own data
KEPT_ARRAYS = 12  # of all stored evaluations: a sweep or the packed masks of 742 slices hold up to 6 MB


@dataclass(frozen=True)
class Evaluation:
    """Summary and slices of one model on one set: stored in its folder, out of fold, or of a visitor's own data.

    Nobody may change its tables: caches hand the same object to all visitors.

    Attributes:
        model: name of the model; display_name is what people read.
        name: of the set, e.g. "test".
        key: tells two evaluations apart; equal keys mean equal content.
        summary: as summary.json.
        slices: as slices.csv.
        folder: where sweep and masks lie, of a stored one.
        measured: sweep and masks themselves, of a visitor's own data.
        records: the slices themselves; empty where they must be looked up in the data set.
        training_patients: those of its patients that the model was trained on.
    """

    model: str
    display_name: str
    name: str
    key: tuple[Any, ...]
    summary: Mapping[str, Any]
    slices: pd.DataFrame
    folder: ModelFolder | None = None
    measured: Measurements | None = None
    records: Sequence[Slice] = ()
    training_patients: Sequence[str] = ()

    @classmethod
    def stored(cls, folder: ModelFolder, name: str) -> Evaluation | None:
        """The evaluation that lies in a model folder, or None when it has not been run. Raises InputError when damaged."""
        summary = folder.summary(name)
        slices = folder.slices(name)
        if summary is None or slices is None:
            return None
        path = folder.evaluation_path(name, SUMMARY)
        key = (str(path), path.stat().st_mtime)
        return cls(folder.name, folder.config().display_name, name, key, summary, slices, folder)

    @property
    def is_private(self) -> bool:
        """Whether it is of a visitor's own data: never kept for anybody else."""
        return self.measured is not None

    @property
    def threshold(self) -> float | None:
        """Chosen on validation; None where each fold has its own."""
        return self.summary["threshold"]

    @property
    def gate(self) -> float | None:
        """Chosen on validation; None where stage 1 was not run."""
        return self.summary["gate"]

    @property
    def segments(self) -> bool:
        """Whether the model outlines (else it classifies)."""
        return "tp" in self.slices

    def sweep(self) -> Sweep | None:
        """Its figures under every threshold, where they were kept."""
        if self.measured is not None:
            return self.measured.sweep
        arrays = self._arrays(SWEEP)
        return None if arrays is None else Sweep(**arrays)

    def masks(self) -> PackedMasks | None:
        """Its predicted masks (N, H, W), ungated, where they were kept."""
        if self.measured is not None:
            return self.measured.masks
        arrays = self._arrays(MASKS)
        return None if arrays is None else PackedMasks.of(arrays)

    def _arrays(self, file: str) -> dict[str, npt.NDArray[Any]] | None:
        path = self.folder.evaluation_path(self.name, file) if self.folder else None
        return _kept_arrays(self.folder, path, path.stat().st_mtime) if self.folder and path and path.exists() else None

    def at(self, threshold: float) -> Evaluation:
        """Its slices at one of the sweep's thresholds. Raises ValueError where it has no sweep or no such threshold."""
        if (sweep := self.sweep()) is None:
            raise ValueError(f"{self.model} has no sweep over thresholds for {self.name}")
        return self._with(table_at(self.slices, sweep, threshold), "threshold", threshold)

    def gated(self, gate: float) -> Evaluation:
        """The result of both stages: slices below the gate count as empty."""
        return self._with(gate_slices(self.slices, gate), "gate", gate)

    def selected(self, sites: Sequence[str], sizes: Sequence[str], shows: str, worst: int | None) -> Evaluation:
        """Its slices that fit every filter, as `select_slices`."""
        kept = select_slices(self.slices, sites, sizes, shows, worst)
        return self._with(kept, "selected", (tuple(sites), tuple(sizes), shows, worst))

    def _with(self, slices: pd.DataFrame, change: str, value: Any) -> Evaluation:
        return replace(self, slices=slices, key=(*self.key, change, value))


@lru_cache(maxsize=KEPT_ARRAYS)
def _kept_arrays(folder: ModelFolder, path: Path, changed: float) -> dict[str, npt.NDArray[Any]] | None:
    return folder.arrays(path)
