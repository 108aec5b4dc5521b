"""How often the system is right, unclear, silent or silently wrong, by source and by kind of picture, as a Markdown table.

python -m benchmarks.honesty, with LGG_DATA, T1CE_DATA, NO_TUMOUR_DATA and BRATS_DATA set: people that no network was trained
on, BraTS, and made-up pictures that are drawn in other ways than those that the recogniser learnt from.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.out_of_distribution import Picture, ct, noise, photographs, ultrasound
from resunet.data import brats, no_tumour, outliers
from resunet.data.slices import Slice
from resunet.data.sources import open_splits
from resunet.errors import NoContrastError
from resunet.evaluation.overlap import count_pixels, dice
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.triage import triage_slice
from resunet.inference.verdict import FOUND, NOT_FOUND, verdict
from resunet.reading.formats.jpegxl import read_grey
from resunet.reading.scan import BoolMask

PLACED = 0.1  # Dice from which an outline is in the right place
LEAST = 100  # tumour pixels of a slice that counts as one with a tumour
HEADS = 150  # slices that made-up pictures are made of
OUTCOMES = ("right", "unclear", "not judged", "silently wrong")


class Shown(NamedTuple):
    """A picture, and its true mask; None where it is nothing that should be judged."""

    image: Picture
    truth: BoolMask | None


class Judge:
    """Every picture to one of OUTCOMES, each model loaded once."""

    def __init__(self) -> None:
        self._pipelines: dict[str, TumourPipeline] = {}

    def __call__(self, shown: Shown) -> str:
        image, truth = shown
        triage = triage_slice(image)
        if not triage.model:
            return "right" if truth is None else "not judged"
        if triage.model not in self._pipelines:
            self._pipelines[triage.model] = TumourPipeline.load(triage.model)
        pipeline = self._pipelines[triage.model]
        try:
            prediction = pipeline.predict(image)
        except NoContrastError:
            return "right" if truth is None else "not judged"
        headline = verdict(prediction).headline
        if truth is None:
            return "silently wrong"
        if headline not in (FOUND, NOT_FOUND):
            return "unclear"
        if not truth.any():
            return "right" if headline == NOT_FOUND else "silently wrong"
        tp, fp, fn, _ = count_pixels(prediction.mask[None], truth[None])
        is_placed = headline == FOUND and float(dice(tp, fp, fn)[0]) >= PLACED
        return "right" if is_placed else "silently wrong"


def sources() -> Iterator[tuple[str, Iterable[Shown]]]:
    """Every source and every made-up kind."""
    lgg = open_splits(None).test
    yield "LGG test, tumour of 100 pixels", _slices(lgg, lambda pixels: pixels >= LEAST)
    yield "LGG test, no tumour", _slices(lgg, lambda pixels: pixels == 0)
    external = list(brats.records(Path(os.environ["BRATS_DATA"])))
    yield "BraTS, tumour of 100 pixels", _slices(external, lambda pixels: pixels >= LEAST)
    yield "T1-CE, fold 0, tumour", _slices(open_splits(None, "patient", "T1CE").test, lambda pixels: pixels >= LEAST)
    yield "People without a tumour, FLAIR", _slices(no_tumour.split()["test"], lambda pixels: pixels == 0)
    yield "People without a tumour, T1 and T2", _other_sequences()
    rng = np.random.default_rng(7)
    heads = [record.image() for record in lgg[:: len(lgg) // HEADS]][:HEADS]
    kinds: dict[str, Iterable[Picture]] = {
        "CT-like": ct(heads, rng),
        "Ultrasound-like": ultrasound(rng),
        "Photographs": photographs(rng),
        "Noise": noise(rng),
        "Negatives": (outliers.inverted(image, rng) for image in heads),
        "Panes": (outliers.panes([heads[int(at)] for at in rng.integers(0, HEADS, 20)], rng) for _ in heads),
        "Screenshots": (outliers.screenshot(image, rng) for image in heads),
        "Film on a light box": (outliers.film(image, rng) for image in heads),
    }
    for name, pictures in kinds.items():
        yield name, (Shown(picture, None) for picture in pictures)


def _slices(records: Iterable[Slice], wanted: Callable[[int], bool]) -> Iterator[Shown]:
    for record in records:
        truth = record.mask()
        if wanted(int(truth.sum())):
            yield Shown(record.image(), truth)


def _other_sequences() -> Iterator[Shown]:
    """T1 and T2 of the people of test, which nothing here judges."""
    people = {record.patient for record in no_tumour.split()["test"]}
    for path in sorted((no_tumour.find_root(None) / "other_sequences").glob("*.jxl")):
        source, number, *_ = path.stem.split("_")
        if f"{source}_p{number}" in people:
            yield Shown(read_grey(path).slices[0], None)


def main() -> None:
    judge = Judge()
    print(f"| Pictures | n | {' | '.join(outcome.capitalize() for outcome in OUTCOMES)} |")
    print(f"| --- {'| --- ' * (len(OUTCOMES) + 1)}|")
    for name, pictures in sources():
        counts = Counter(map(judge, pictures))
        total = counts.total()
        print(f"| {name} | {total} | {' | '.join(f'{counts[outcome] / total:.1%}' for outcome in OUTCOMES)} |", flush=True)


if __name__ == "__main__":
    main()
