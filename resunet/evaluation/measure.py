"""Run a model over slices and keep counts: the rows of slices.csv, and the folder they are written to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from resunet.data.slices import Slice, neighbours, place_of, read_pair
from resunet.data.transforms import FloatImage, normalise
from resunet.evaluation.aggregate import RESAMPLES, gate_slices, summarise_classification, summarise_segmentation
from resunet.evaluation.definitions import EMPTY_RULE
from resunet.evaluation.kinds import kind_columns, summarise_kinds, tells_kinds
from resunet.evaluation.lesion_hits import write_lesions
from resunet.evaluation.overlap import soft_counts
from resunet.evaluation.sweep import Sweep, measure_mask, stack, sweep_slice
from resunet.files import PackedMasks, atomic_files, write_arrays, write_csv, write_json
from resunet.inference.framing import Framing
from resunet.inference.postprocessing import to_mask
from resunet.inference.stages import ProbabilityMap, Stage1, Stage2
from resunet.model_folder import MASKS, SLICES, SUMMARY, SWEEP, CleanUp
from resunet.reading.scan import BoolMask

TOLD = ("tumour", "plane", "volume")  # attributes of a slice that become columns
MAX_MASK_BYTES = 64 << 20  # packed
OnProgress = Callable[[int], None]  # slices done


@dataclass(frozen=True)
class Settings:
    """What an evaluation is called and how maps become masks; recorded in summary.json.

    `threshold` is NaN for results that are put together from several networks, each with its own.
    """

    name: str
    threshold: float
    gate: float | None = None
    clean_up: CleanUp = field(default_factory=CleanUp)
    tta: bool = False


def settings_of(name: str, stage_2: Stage2, stage_1: Stage1 | None, tta: bool = False) -> Settings:
    """Threshold, clean-up and gate as they were chosen on validation; no gate without stage 1."""
    return Settings(name, stage_2.threshold, stage_2.gate if stage_1 else None, stage_2.clean_up, tta)


class PreparedSlice(NamedTuple):
    """A slice of a data set, what the networks see of it, its true mask (H, W) and the way of maps back to it."""

    record: Slice
    image: FloatImage
    truth: BoolMask
    framing: Framing

    def row(self) -> dict[str, Any]:
        """What every slices.csv says about a slice: tumour, plane and volume where the data set tells them."""
        attributes = {name: text for name in TOLD if (text := getattr(self.record, name))}
        pixels = int(np.count_nonzero(self.truth))
        return {"patient": self.record.patient, "slice": self.record.number, "tumour_pixels": pixels, **attributes}


def prepare(record: Slice) -> PreparedSlice:
    """A slice as the networks see it. Raises InputError as `read_pair`."""
    image, truth, spacing = read_pair(record)
    framing = Framing.of_picture(image, spacing)
    return PreparedSlice(record, framing.to_networks(normalise(image)), truth, framing)


@dataclass(frozen=True)
class Measurements:
    """What an evaluation of a segmentation model leaves.

    Attributes:
        slices: one row per slice: patient, slice, tumour_pixels, tp, fp, fn, tn, hd95, surface_dice, lesions, p_tumour, and
            soft_tp, soft_fp, soft_fn of the probabilities.
        sweep: the same figures under every threshold, rows as in `slices`.
        masks: predicted masks (N, H, W), ungated, rows as in `slices`; None where slices differ in size, or all together
            are more than MAX_MASK_BYTES.
    """

    slices: pd.DataFrame
    sweep: Sweep
    masks: PackedMasks | None


def measure_segmentation(
    stage_2: Stage2, stage_1: Stage1 | None, records: Sequence[Slice], settings: Settings, on_progress: OnProgress | None = None
) -> Measurements:
    """Segment and measure every slice.

    Masks are ungated; `p_tumour` (empty without stage 1) lets the gate be applied to the rows. Raises InputError for files
    that cannot be read.
    """
    rows: list[Any] = []
    for prepared, output in _segmented(stage_2, records, settings.tta):
        truth = prepared.truth
        p_tumour = stage_1(prepared.image)[0] if stage_1 else np.nan
        probability = prepared.framing.put_back(output.mean)
        mask = to_mask(probability, settings.threshold, settings.clean_up)
        figures = measure_mask(mask, truth)._asdict()
        figures["lesions"] = write_lesions(figures["lesions"])
        kinds = {} if output.kinds is None else kind_columns(stage_2.config.classes, output.kinds)
        row = prepared.row() | figures | soft_counts(probability, truth) | {"p_tumour": p_tumour} | kinds
        sweep = sweep_slice(probability, truth, settings.clean_up)
        rows.append(row | {"sweep": sweep, "mask": PackedMasks.pack(mask)})
        if on_progress is not None:
            on_progress(len(rows))
    table = _ordered(rows)
    sweeps, packed = table.pop("sweep"), table.pop("mask")
    return Measurements(table, stack(list(sweeps)), _together(list(packed)))


def _segmented(stage_2: Stage2, records: Sequence[Slice], tta: bool) -> Iterator[tuple[PreparedSlice, ProbabilityMap]]:
    """Each slice with its map, neighbours together; slices that wait for those behind them are few."""
    waiting: deque[PreparedSlice] = deque()
    bar = tqdm(total=len(records), desc="evaluate", unit="slice", disable=None)  # none where nobody looks

    def images(run: Sequence[Slice]) -> Iterator[FloatImage]:
        for prepared in map(prepare, run):
            waiting.append(prepared)
            yield prepared.image

    for run in neighbours(sorted(records, key=place_of)):
        for output in stage_2.volume(images(run), len(run), tta):
            yield waiting.popleft(), output
            bar.update()
    bar.close()


def _together(packed: list[PackedMasks]) -> PackedMasks | None:
    """Masks of (H, W) as one of (N, H, W); None where they differ in size or are too many to keep."""
    if len({mask.shape for mask in packed}) != 1 or sum(mask.bits.nbytes for mask in packed) > MAX_MASK_BYTES:
        return None
    return PackedMasks(np.stack([mask.bits for mask in packed]), packed[0].width)


def measure_classification(stage_1: Stage1, records: Sequence[Slice]) -> pd.DataFrame:
    """One row per slice: patient, slice, tumour_pixels, p_tumour, or of each kind its probability.

    Raises InputError for files that cannot be read.
    """
    slices = map(prepare, tqdm(records, desc="evaluate", unit="slice"))
    if classes := stage_1.config.classes:
        return _ordered([each.row() | kind_columns(classes, stage_1.kinds(each.image)) for each in slices])
    return _ordered([prepared.row() | {"p_tumour": stage_1(prepared.image)[0]} for prepared in slices])


def _ordered(rows: list[Any]) -> pd.DataFrame:
    return in_order(pd.DataFrame(rows)).reset_index(drop=True)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by patient, volume and slice; they keep their index."""
    return table.sort_values([name for name in ("patient", "volume", "slice") if name in table])


def summarise(slices: pd.DataFrame, model: str, settings: Settings) -> dict[str, Any]:
    """summary.json as a dictionary, from the rows of slices.csv alone and what the settings state."""
    if "tp" in slices:
        metrics = summarise_segmentation(slices)
        if settings.gate is not None and slices["p_tumour"].notna().all():
            gated = summarise_segmentation(gate_slices(slices, settings.gate))
            metrics |= {f"gated_{name}": figure for name, figure in gated.items()}
        if tells_kinds(slices):
            metrics |= summarise_kinds(slices)
    elif tells_kinds(slices):
        metrics = summarise_kinds(slices)
    else:
        metrics = summarise_classification(slices, settings.threshold)
    return {
        "model": model,
        "protocol": settings.name,
        "threshold": settings.threshold,
        "gate": settings.gate,
        "postprocessing": asdict(settings.clean_up),
        "test_time_augmentation": settings.tta,
        "empty_masks": EMPTY_RULE,
        "confidence": f"95 %, {RESAMPLES} bootstrap resamples of patients",
        "n_patients": int(slices["patient"].nunique()),
        "n_slices": len(slices),
        "n_tumour_slices": int((slices["tumour_pixels"] > 0).sum()),
        "metrics": metrics,
    }


def write_evaluation(out: Path, measured: pd.DataFrame | Measurements, model: str, settings: Settings) -> dict[str, Any]:
    """Write slices.csv, the summary.json that follows from it, sweep and masks. Returns the summary."""
    slices = measured.slices if isinstance(measured, Measurements) else measured
    with atomic_files(out) as new:
        write_csv(new / SLICES, slices)
        if isinstance(measured, Measurements):
            write_arrays(new / SWEEP, measured.sweep._asdict())
        masks = measured.masks if isinstance(measured, Measurements) else None
        if masks is not None:
            write_arrays(new / MASKS, masks.arrays())
        summary = summarise(
            pd.read_csv(new / SLICES, dtype={"patient": str}), model, settings
        )  # from the file, so that it is re-derivable
        write_json(new / SUMMARY, summary)
    if masks is None:
        (out / MASKS).unlink(missing_ok=True)  # of the measurement before
    return summary
