"""How long a model takes for one slice on the machine at hand."""

from __future__ import annotations

import statistics
import time

import numpy as np

from resunet.data.samples import load_samples
from resunet.data.transforms import normalise
from resunet.inference.stages import Stage2
from resunet.inference.windows import WINDOW

WARM_UPS, ROUNDS = 2, 7


def latency_ms(stage_2: Stage2) -> float:
    """Median milliseconds per slice of stage 2 on its input grid, preparation and clean-up left out.

    A network that sees neighbours gets a whole window of them.
    """
    images = [normalise(np.asarray(load_samples()[0].image))] * (WINDOW if stage_2.context else 1)
    times = []
    for _ in range(WARM_UPS + ROUNDS):
        started = time.perf_counter()
        for _ in stage_2.volume(images, len(images)):
            pass
        times.append((time.perf_counter() - started) / len(images))
    return 1e3 * statistics.median(times[WARM_UPS:])
