"""The gate between the stages.

It acts where a prediction gives its mask: `Prediction.mask` of a slice, `VolumePrediction.axial_mask` of a volume, and
`aggregate.gate_slices` of an evaluation. Maps are kept without it, so that a visitor can move it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def is_below_gate(p_tumour: npt.ArrayLike, gate: float) -> Any:
    """Whether a slice is taken as empty whatever stage 2 outlines. NaN, without stage 1, passes.

    Args:
        p_tumour: stage 1's calibrated probability in [0, 1], of one slice or of many.
        gate: chosen on validation.

    Returns:
        bool of the same shape.
    """
    return np.less(p_tumour, gate)
