"""The same probability maps under every threshold, so that a slider can move without the maps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.evaluation.lesion_hits import LesionHit, lesion_hits, lesion_table
from resunet.evaluation.overlap import FloatArray, count_pixels, dice
from resunet.inference.postprocessing import to_mask
from resunet.model_folder import CleanUp
from resunet.reading.scan import BoolMask

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
Array = npt.NDArray[Any]


class MaskFigures(NamedTuple):
    """What is measured on one predicted mask of one slice; lesions largest first."""

    tp: int
    fp: int
    fn: int
    tn: int
    hd95: float
    surface_dice: float
    lesions: tuple[LesionHit, ...]


class Sweep(NamedTuple):
    """Figures of N slices under T thresholds: counts (N, T), distances (N, T), found (N, T, L) padded with False."""

    thresholds: Array
    tp: Array
    fp: Array
    fn: Array
    hd95: Array
    surface_dice: Array
    found: Array


def measure_mask(predicted: BoolMask, truth: BoolMask) -> MaskFigures:
    """Counts, distances and lesions of one mask (H, W) against the truth."""
    from resunet.evaluation.surface import surface_scores  # SciPy takes 0.2 s to import; reading a stored sweep needs none

    counts = count_pixels(predicted[None], truth[None])
    distances = surface_scores(predicted, truth)
    tp, fp, fn, tn = (int(part[0]) for part in counts)
    return MaskFigures(tp, fp, fn, tn, distances.hd95, distances.surface_dice, tuple(lesion_hits(predicted, truth)))


def sweep_slice(probability: npt.NDArray[np.float32], truth: BoolMask, clean_up: CleanUp) -> list[MaskFigures]:
    """Figures of one slice under each of THRESHOLDS; a mask that does not change is not measured twice."""
    figures: list[MaskFigures] = []
    before: BoolMask | None = None
    for threshold in THRESHOLDS:
        mask = to_mask(probability, threshold, clean_up)
        same = before is not None and np.array_equal(mask, before)
        figures.append(figures[-1] if same else measure_mask(mask, truth))
        before = mask
    return figures


def stack(rows: list[list[MaskFigures]]) -> Sweep:
    """The sweeps of N slices as arrays."""
    lesions = max((len(figures[0].lesions) for figures in rows), default=0)

    def column(name: str, dtype: type) -> Array:
        return np.array([[getattr(figure, name) for figure in figures] for figures in rows], dtype)

    found = np.zeros((len(rows), len(THRESHOLDS), lesions), bool)
    for row, figures in enumerate(rows):
        found[row, :, : len(figures[0].lesions)] = [[hit.found for hit in figure.lesions] for figure in figures]
    tp, fp, fn = (column(name, np.int32) for name in ("tp", "fp", "fn"))
    hd95 = column("hd95", np.float64)
    surface_dice = column("surface_dice", np.float64)
    return Sweep(np.array(THRESHOLDS), tp, fp, fn, hd95, surface_dice, found)


def table_at(slices: pd.DataFrame, sweep: Sweep, threshold: float) -> pd.DataFrame:
    """slices.csv as it would be at `threshold`, which must be one of the sweep's.

    Raises:
        ValueError: the sweep does not hold that threshold, or belongs to other slices.
    """
    at = np.flatnonzero(np.isclose(sweep.thresholds, threshold))
    if at.size == 0 or len(slices) != len(sweep.tp):
        raise ValueError(f"the sweep of {len(sweep.tp)} slices holds no threshold {threshold} for these {len(slices)} slices")
    pixels = slices[["tp", "fp", "fn", "tn"]].sum(axis=1).to_numpy()
    tp, fp, fn = (getattr(sweep, name)[:, at[0]].astype(np.int64) for name in ("tp", "fp", "fn"))
    lesions = lesion_table(slices["lesions"])
    within = np.arange(len(lesions.row)) - np.searchsorted(lesions.row, lesions.row)  # the lesion's number in its slice
    found = lesions._replace(found=sweep.found[lesions.row, at[0], within])
    return slices.assign(
        tp=tp,
        fp=fp,
        fn=fn,
        tn=pixels - tp - fp - fn,
        hd95=sweep.hd95[:, at[0]],
        surface_dice=sweep.surface_dice[:, at[0]],
        lesions=[text or np.nan for text in found.texts(len(slices))],
    )


def volume_dice_at_each(slices: pd.DataFrame, sweep: Sweep) -> FloatArray:
    """Mean volume Dice over patients with a tumour at each of the sweep's thresholds (T,), without a table for each."""
    patients = slices["patient"].to_numpy()
    tp, fp, fn = (pd.DataFrame(part).groupby(patients).sum().to_numpy() for part in (sweep.tp, sweep.fp, sweep.fn))
    of_patients = np.where(tp + fn > 0, dice(tp, fp, fn), np.nan)
    return pd.DataFrame(of_patients).mean().to_numpy(np.float64)
