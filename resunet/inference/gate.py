"""The gate between the stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def stops(gate: float, p_tumour: npt.ArrayLike) -> Any:
    """Whether a slice is taken as empty whatever stage 2 outlines: P(tumour) is below the gate. NaN, without stage 1, passes.

    Args:
        gate: chosen on validation.
        p_tumour: stage 1's calibrated probability in [0, 1], of one slice or of many.

    Returns:
        bool of the same shape.
    """
    return np.less(p_tumour, gate)
