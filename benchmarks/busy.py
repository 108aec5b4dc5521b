"""One slice through both stages while other programs want the same cores, by how compute threads wait for one another.

    python -m benchmarks.busy [--rounds 20]

A browser that draws the app is such a program. OpenMP reads how to wait when it is loaded, so each way has its own process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from resunet.data.samples import load_samples
from resunet.pipeline import TumourPipeline

POLICIES = {"spinning (OpenMP's own choice)": {}, "asleep (as the app)": {"OMP_WAIT_POLICY": "PASSIVE"}}
BUSY = (0, 1, 2)  # programs beside
PAUSE = 0.01  # seconds between two slices


@contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """`count` processes that do nothing but keep a core busy."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def median_ms(pipeline: TumourPipeline, rounds: int) -> float:
    """Median milliseconds of predict(), two warm-ups not counted."""
    image, times = load_samples()[3].image, []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        pipeline.predict(image, segment_all=True)
        times.append(time.perf_counter() - started)
        time.sleep(PAUSE)
    return 1e3 * statistics.median(times[2:])


def measure(rounds: int) -> list[float]:
    """Median milliseconds beside each number of busy programs, in this process."""
    pipeline, medians = TumourPipeline.load(), []
    for count in BUSY:
        with busy_programs(count):
            medians.append(median_ms(pipeline, rounds))
    return medians


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--here", action="store_true", help="measure in this process and print milliseconds only")
    options = parser.parse_args()
    if options.here:
        print(*measure(options.rounds))
        return
    titles = " | ".join(f"ms beside {count} busy programs" for count in BUSY)
    print(f"| threads wait | {titles} |\n|{' --- |' * (len(BUSY) + 1)}")
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for name, settings in POLICIES.items():
        line = [sys.executable, "-m", "benchmarks.busy", "--here", "--rounds", str(options.rounds)]
        done = subprocess.run(line, env=others | settings, stdout=subprocess.PIPE, text=True, check=True)
        print(f"| {name} | " + " | ".join(f"{float(value):.0f}" for value in done.stdout.split()) + " |")


if __name__ == "__main__":
    main()
