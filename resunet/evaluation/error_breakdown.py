"""Where the two stages lose and invent pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from resunet.evaluation.aggregate import gate_slices
from resunet.evaluation.lesion_hits import lesion_table
from resunet.inference.gate import is_below_gate


def error_breakdown(slices: pd.DataFrame, gate: float | None) -> dict[str, int]:
    """Pixels by cause; the last five add up to all false pixels.

    Returns:
        pixels: tumour, found, lost_at_gate, lost_lesions (lesions of which nothing was outlined), lost_at_border (the
        rest of the misses), false_on_empty_slices, false_on_tumour_slices.
    """
    stopped = np.zeros(len(slices), bool) if gate is None else is_below_gate(slices["p_tumour"].to_numpy(), gate)
    final = slices if gate is None else gate_slices(slices, gate)
    empty = final["tumour_pixels"].to_numpy() == 0
    missed = final["fn"].to_numpy()
    false = final["fp"].to_numpy()
    lesions = lesion_table(final["lesions"])
    missed_lesions = np.bincount(lesions.row, np.where(lesions.found, 0, lesions.pixels), len(final)).astype(int)
    return {
        "tumour": int(final["tumour_pixels"].sum()),
        "found": int(final["tp"].sum()),
        "lost_at_gate": int(missed[stopped].sum()),
        "lost_lesions": int(missed_lesions[~stopped].sum()),
        "lost_at_border": int((missed - missed_lesions)[~stopped].sum()),
        "false_on_empty_slices": int(false[empty].sum()),
        "false_on_tumour_slices": int(false[~empty].sum()),
    }
