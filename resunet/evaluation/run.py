"""Run a model over slices and keep counts: the rows of slices.csv, and the folder they are written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from resunet.artifacts import MASKS, SLICES, SUMMARY, SWEEP, ModelFolder
from resunet.data.slices import Slice, read_pair
from resunet.data.transforms import FloatImage, fit_back, normalise
from resunet.evaluation.aggregate import gate_slices, summarise_classification, summarise_segmentation
from resunet.evaluation.lesions import write_lesions
from resunet.evaluation.metrics import soft_counts
from resunet.evaluation.rules import EMPTY_RULE
from resunet.evaluation.sweep import Sweep, measure_mask, stack, sweep_slice
from resunet.files import PackedMasks, atomic_files, write_arrays, write_csv, write_json
from resunet.postprocess import CleanUp, to_mask
from resunet.stages import Stage1, Stage2
from resunet.training.distributed import gather, rank, world

BATCH, BATCH_PIXELS = 16, 16 * 512 * 512  # slices at a time, and pixels of all of them
KEPT_MASKS = 64 << 20  # bytes, packed
Watch = Callable[[int], None]


@dataclass(frozen=True)
class Protocol:
    """What an evaluation is called and how maps become masks; recorded in summary.json."""

    name: str
    threshold: float
    gate: float | None = None
    clean_up: CleanUp = field(default_factory=CleanUp)
    tta: bool = False


def protocol_of_models(name: str, stage_2: Stage2, stage_1: Stage1 | None, tta: bool = False) -> Protocol:
    """Threshold, clean-up and gate as they were chosen on validation; no gate without stage 1."""
    return Protocol(name, stage_2.threshold, stage_2.gate if stage_1 else None, stage_2.clean_up, tta)


@dataclass(frozen=True)
class Looked:
    """One slice as the stages saw it; arrays live only as long as their batch."""

    record: Slice
    image: FloatImage
    truth: Any


def _batches(records: Sequence[Slice]) -> Iterator[list[Looked]]:
    """This process's share of the slices, read and normalised a batch at a time, so that memory stays bounded."""
    batch: list[Looked] = []
    for record in tqdm(records[rank() :: world()], desc="evaluate", unit="slice", disable=rank() > 0):
        image, truth = read_pair(record)
        if batch and (len(batch) == BATCH or (len(batch) + 1) * truth.size > BATCH_PIXELS):
            yield batch
            batch = []
        batch.append(Looked(record, normalise(image), truth))
    if batch:
        yield batch


@dataclass(frozen=True)
class Measured:
    """What an evaluation of a segmentation model leaves.

    Attributes:
        slices: one row a slice: patient, slice, tumour_pixels, tp, fp, fn, tn, hd95, surface_dice, lesions, p_tumour, and
            soft_tp, soft_fp, soft_fn of the probabilities.
        sweep: the same figures under every threshold, rows as in `slices`.
        masks: predicted masks (N, H, W), ungated, rows as in `slices`; None where slices differ in size, or all together
            are more than KEPT_MASKS.
    """

    slices: pd.DataFrame
    sweep: Sweep
    masks: PackedMasks | None


def measure(
    stage_2: Stage2, stage_1: Stage1 | None, records: Sequence[Slice], protocol: Protocol, watch: Watch | None = None
) -> Measured:
    """Segment and measure every slice; `watch` hears after each batch how many slices are done.

    Masks are ungated; `p_tumour` (empty without stage 1) lets the gate be applied to the rows. Under torchrun every
    process does its share and all return the whole. Raises InputError for files that cannot be read.
    """
    rows: list[Any] = []
    for batch in _batches(records):
        images = [looked.image for looked in batch]
        p_tumour = stage_1(images)[0] if stage_1 else [np.nan] * len(batch)
        for looked, p, found in zip(batch, p_tumour, stage_2(images, protocol.tta), strict=True):
            probability = fit_back(found.mean, *looked.truth.shape)
            mask = to_mask(probability, protocol.threshold, protocol.clean_up)
            sweep = sweep_slice(probability, looked.truth, protocol.clean_up)
            row = _slice_row(looked, mask) | soft_counts(probability, looked.truth)
            rows.append(row | {"p_tumour": p, "sweep": sweep, "mask": PackedMasks.pack(mask)})
        if watch is not None:
            watch(len(rows))
    table = _ordered(rows)
    sweeps, packed = table.pop("sweep"), table.pop("mask")
    return Measured(table, stack(list(sweeps)), _together(list(packed)))


def _together(packed: list[PackedMasks]) -> PackedMasks | None:
    """Masks of (H, W) as one of (N, H, W); None where they differ in size or are too many to keep."""
    if len({mask.shape for mask in packed}) != 1 or sum(mask.bits.nbytes for mask in packed) > KEPT_MASKS:
        return None
    return PackedMasks(np.stack([mask.bits for mask in packed]), packed[0].width)


def _slice_row(looked: Looked, mask: Any) -> dict[str, Any]:
    figures = measure_mask(mask, looked.truth)
    return {
        "patient": looked.record.patient,
        "slice": looked.record.number,
        "tumour_pixels": int(looked.truth.sum()),
        **{name: getattr(figures, name) for name in ("tp", "fp", "fn", "tn", "hd95", "surface_dice")},
        "lesions": write_lesions(list(figures.lesions)),
    }


def classification_table(stage_1: Stage1, records: Sequence[Slice]) -> pd.DataFrame:
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


def write_evaluation(out: Path, found: pd.DataFrame | Measured, model: str, protocol: Protocol) -> dict[str, Any]:
    """Write slices.csv, the summary.json that follows from it, and what `Measured` holds more. Returns the summary."""
    slices = found.slices if isinstance(found, Measured) else found
    with atomic_files(out) as new:
        write_csv(new / SLICES, slices)
        if isinstance(found, Measured):
            write_arrays(new / SWEEP, found.sweep._asdict())
            if found.masks is not None:
                write_arrays(new / MASKS, found.masks.arrays())
        summary = summarise(pd.read_csv(new / SLICES), model, protocol)  # from the file, so that it is re-derivable
        write_json(new / SUMMARY, summary)
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
