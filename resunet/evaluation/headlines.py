"""What the app would say of measured slices: the headline of each row of a slices.csv."""

from __future__ import annotations

import numpy as np
import pandas as pd

from resunet.inference.gate import is_below_gate
from resunet.inference.verdict import headline_of


def headlines(slices: pd.DataFrame, gate: float, stage_1_threshold: float) -> pd.Series[str]:
    """The headline of each slice, both stages together.

    Args:
        slices: with tp, fp, fn, tn and p_tumour.
        gate: p_tumour below which a slice counts as empty.
        stage_1_threshold: p_tumour from which stage 1 on its own says that there is a tumour.
    """
    areas = np.where(is_below_gate(slices["p_tumour"], gate), 0, slices["tp"] + slices["fp"])
    sides = np.sqrt(slices[["tp", "fp", "fn", "tn"]].sum(axis=1)).round().astype(int)
    lines = [
        headline_of(int(area), (side, side), p_tumour, stage_1_threshold)
        for area, side, p_tumour in zip(areas, sides, slices["p_tumour"], strict=True)
    ]
    return pd.Series(lines, slices.index)
