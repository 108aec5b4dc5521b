"""How long a model takes for one slice on the machine at hand."""

from __future__ import annotations

import statistics
import time

import numpy as np

from resunet.data.samples import load_samples
from resunet.data.transforms import normalise
from resunet.inference.stages import Stage2

WARM_UPS, ROUNDS = 2, 7


def latency_ms(stage_2: Stage2) -> float:
    """Median milliseconds of stage 2 for one slice on its input grid, preparation and clean-up left out."""
    image = normalise(np.asarray(load_samples()[0].image))
    times = []
    for _ in range(WARM_UPS + ROUNDS):
        started = time.perf_counter()
        stage_2(image)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[WARM_UPS:])
