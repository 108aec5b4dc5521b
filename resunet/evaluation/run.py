"""Run a model over slices and keep counts: the rows of slices.csv, and the folder they are written to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from resunet.artifacts import SLICES, SUMMARY, ModelFolder, write_csv, write_json
from resunet.data.slices import SliceRecord
from resunet.data.transforms import FloatImage, fit_back, normalise
from resunet.evaluation.aggregate import gate_slices, summarise_classification, summarise_segmentation
from resunet.evaluation.metrics import count_pixels
from resunet.evaluation.rules import EMPTY_RULE
from resunet.evaluation.surface import lesion_hits, surface_scores, write_lesions
from resunet.postprocess import CleanUp, to_mask
from resunet.stages import Stage1, Stage2
from resunet.training.distributed import gather, rank, world

BATCH = 16


@dataclass(frozen=True)
class Protocol:
    """What an evaluation is called and how maps become masks; recorded in summary.json."""

    name: str
    threshold: float
    gate: float | None = None
    clean_up: CleanUp = field(default_factory=CleanUp)
    tta: bool = False


@dataclass(frozen=True)
class Looked:
    """One slice as the stages saw it; arrays live only as long as their batch."""

    record: SliceRecord
    image: FloatImage
    truth: Any


def _batches(records: Sequence[SliceRecord]) -> Iterator[list[Looked]]:
    """This process's share of the slices, read and normalised a batch at a time, so that memory stays bounded."""
    mine = records[rank() :: world()]
    for start in tqdm(range(0, len(mine), BATCH), desc="evaluate", unit="batch", disable=rank() > 0):
        part = mine[start : start + BATCH]
        yield [Looked(record, normalise(record.image()), record.mask()) for record in part]


def segmentation_table(
    stage_2: Stage2, stage_1: Stage1 | None, records: Sequence[SliceRecord], protocol: Protocol
) -> pd.DataFrame:
    """One row a slice: patient, slice, tumour_pixels, tp, fp, fn, tn, p_tumour, hd95, surface_dice, lesions.

    Masks are ungated; `p_tumour` (empty without stage 1) lets the gate be applied to the rows. Under torchrun every
    process does its share and all return the whole table. Raises InputError for files that cannot be read.
    """
    rows: list[Any] = []
    for batch in _batches(records):
        images = [looked.image for looked in batch]
        p_tumour = stage_1(images)[0] if stage_1 else [np.nan] * len(batch)
        for looked, p, found in zip(batch, p_tumour, stage_2(images, protocol.tta), strict=True):
            probability = fit_back(found.mean, *looked.truth.shape)
            mask = to_mask(probability, protocol.threshold, protocol.clean_up)
            rows.append(_slice_row(looked, mask) | {"p_tumour": p})
    return _ordered(rows)


def _slice_row(looked: Looked, mask: Any) -> dict[str, Any]:
    counts = count_pixels(mask[None], looked.truth[None])
    distances = surface_scores(mask, looked.truth)
    return {
        "patient": looked.record.patient,
        "slice": looked.record.number,
        "tumour_pixels": int(looked.truth.sum()),
        **{name: int(value[0]) for name, value in counts._asdict().items()},
        "hd95": distances.hd95,
        "surface_dice": distances.surface_dice,
        "lesions": write_lesions(lesion_hits(mask, looked.truth)),
    }


def classification_table(stage_1: Stage1, records: Sequence[SliceRecord]) -> pd.DataFrame:
    """One row a slice: patient, slice, tumour_pixels, p_tumour. Raises InputError for files that cannot be read."""
    rows: list[Any] = []
    for batch in _batches(records):
        for looked, p in zip(batch, stage_1([looked.image for looked in batch])[0], strict=True):
            rows.append(
                {
                    "patient": looked.record.patient,
                    "slice": looked.record.number,
                    "tumour_pixels": int(looked.truth.sum()),
                    "p_tumour": p,
                }
            )
    return _ordered(rows)


def _ordered(rows: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(gather(rows)).sort_values(["patient", "slice"], ignore_index=True)


def summarise(slices: pd.DataFrame, model: str, protocol: Protocol) -> dict[str, Any]:
    """summary.json as a dictionary, from the rows of slices.csv alone and what the protocol states."""
    if "tp" in slices:
        metrics = summarise_segmentation(slices)
        if protocol.gate is not None and slices["p_tumour"].notna().all():
            gated = summarise_segmentation(gate_slices(slices, protocol.gate))
            metrics |= {f"gated_{name}": figure for name, figure in gated.items()}
    else:
        metrics = summarise_classification(slices, protocol.threshold)
    return {
        "model": model,
        "protocol": protocol.name,
        "threshold": protocol.threshold,
        "gate": protocol.gate,
        "postprocessing": protocol.clean_up.describe(),
        "test_time_augmentation": protocol.tta,
        "empty_masks": EMPTY_RULE,
        "confidence": "95 %, 2000 bootstrap resamples of patients",
        "n_patients": int(slices["patient"].nunique()),
        "n_slices": len(slices),
        "n_tumour_slices": int((slices["tumour_pixels"] > 0).sum()),
        "metrics": metrics,
    }


def write_evaluation(out: Path, slices: pd.DataFrame, model: str, protocol: Protocol) -> dict[str, Any]:
    """Write slices.csv and the summary.json that follows from it into `out`. Returns the summary."""
    write_csv(out / SLICES, slices)
    summary = summarise(pd.read_csv(out / SLICES), model, protocol)  # from the file, so that it is re-derivable
    write_json(out / SUMMARY, summary)
    return summary


def rederive(folder: ModelFolder, name: str) -> dict[str, Any]:
    """summary.json of an evaluation computed anew from its slices.csv and the settings that the summary states."""
    stored, slices = folder.summary(name), folder.slices(name)
    assert stored is not None and slices is not None, f"{folder.path} has no evaluation {name}"
    protocol = Protocol(
        stored["protocol"],
        stored["threshold"],
        stored["gate"],
        CleanUp(**stored["postprocessing"]),
        stored["test_time_augmentation"],
    )
    return summarise(slices, stored["model"], protocol)
