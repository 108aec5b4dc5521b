"""How long a model takes for one slice on the machine at hand."""

from __future__ import annotations

import statistics
import time

import numpy as np

from resunet.data.samples import load_samples
from resunet.data.transforms import normalise
from resunet.inference.hardware import processor_name
from resunet.inference.stages import Stage2
from resunet.inference.windows import WINDOW
from resunet.model_folder import Latency

WARM_UPS, ROUNDS = 2, 7


def measure_latency(stage_2: Stage2) -> Latency:
    """How long stage 2 takes for a slice on its input grid. Nothing else should run.

    A network that sees neighbours gets a whole window of them.
    """
    images = [normalise(np.asarray(load_samples()[0].image))] * (WINDOW if stage_2.context else 1)
    times = []
    for _ in range(WARM_UPS + ROUNDS):
        started = time.perf_counter()
        for _ in stage_2.volume(images, len(images)):
            pass
        times.append((time.perf_counter() - started) / len(images))
    return Latency(round(1e3 * statistics.median(times[WARM_UPS:]), 2), processor_name())
