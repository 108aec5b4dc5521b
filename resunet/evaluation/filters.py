"""Filters of an evaluation: the rows of slices.csv that a researcher asks about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from resunet.data.splits import NO_SITE, site
from resunet.evaluation.overlap import volume_dice

SIZES = {"up to 150 px": (1, 150), "150 to 500 px": (151, 500), "500 to 1,500 px": (501, 1500), "over 1,500 px": (1501, 10**9)}
SHOWS = {"all slices": (0, 10**9), "with tumour": (1, 10**9), "without tumour": (0, 0)}


def sites_of(slices: pd.DataFrame) -> list[str]:
    """The hospital codes in a table of TCGA patients, sorted; empty for other data."""
    return sorted({site(patient) for patient in slices["patient"].unique()} - {NO_SITE})


def select_slices(
    slices: pd.DataFrame,
    sites: Sequence[str] = (),
    sizes: Sequence[str] = (),
    shows: str = "all slices",
    worst: int | None = None,
) -> pd.DataFrame:
    """The rows that fit every filter; an empty filter lets everything through.

    Args:
        slices: slices.csv of a segmentation model, or of a classifier (then `worst` must be None).
        sites: hospital codes.
        sizes: keys of SIZES; bounds are the tumour's pixels in the slice, both included.
        shows: a key of SHOWS.
        worst: how many patients to keep, lowest volume Dice first.
    """
    pixels = slices["tumour_pixels"]
    least, most = SHOWS[shows]
    keep = (pixels >= least) & (pixels <= most)
    if sites:
        keep &= slices["patient"].isin([patient for patient in slices["patient"].unique() if site(patient) in set(sites)])
    if sizes:
        keep &= np.logical_or.reduce([(pixels >= SIZES[name][0]) & (pixels <= SIZES[name][1]) for name in sizes])
    kept = slices[keep]
    if worst is not None and len(kept):
        ranked = volume_dice(kept).sort_values()
        kept = kept[kept["patient"].isin(ranked.index[:worst])]
    return kept
