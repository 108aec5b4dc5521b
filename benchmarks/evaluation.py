"""Slices a second of the evaluation's metrics: ours beside MONAI and torchmetrics, which must give the same values.

    python -m benchmarks.evaluation [--slices 800] [--rounds 3]

The masks are the bundled samples' true masks, shifted and grown at random, with as many empty slices as the LGG set has.
Every contender computes Dice, IoU, precision and recall of every slice; HD95 and surface Dice are measured in a second
table, since torchmetrics has neither (its Hausdorff distance knows no percentile).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou, compute_surface_dice, get_confusion_matrix
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index, binary_precision, binary_recall

from resunet.data.samples import load_samples
from resunet.evaluation.overlap import count_pixels, dice, iou, ratio
from resunet.evaluation.surface import TOLERANCE_PX, surface_scores

Masks = npt.NDArray[np.bool_]
Values = dict[str, npt.NDArray[np.float64]]
TUMOUR_SHARE = 0.35


def pairs(count: int) -> tuple[Masks, Masks]:
    """Predicted and true masks (count, 256, 256)."""
    rng = np.random.default_rng(2025)
    with_tumour = [sample.mask for sample in load_samples() if sample.mask.any()]
    truths, found = np.zeros((2, count, 256, 256), bool)
    for index in np.flatnonzero(rng.random(count) < TUMOUR_SHARE):
        truths[index] = np.roll(with_tumour[rng.integers(len(with_tumour))], rng.integers(-30, 31, 2), (0, 1))
        kernel = np.ones(rng.integers(1, 6, 2), np.uint8)
        found[index] = np.roll(cv2.dilate(truths[index].astype(np.uint8), kernel) > 0, rng.integers(-4, 5, 2), (0, 1))
    return found, truths


def ours_overlap(found: Masks, truths: Masks) -> Values:
    """One pass of counts, everything else from them."""
    counts = count_pixels(found, truths)
    return {
        "dice": dice(counts.tp, counts.fp, counts.fn),
        "iou": iou(counts.tp, counts.fp, counts.fn),
        "precision": ratio(counts.tp, counts.tp + counts.fp),
        "recall": ratio(counts.tp, counts.tp + counts.fn),
    }


def ours(found: Masks, truths: Masks) -> Values:
    """Overlap and outlines."""
    scores = [surface_scores(one, other) for one, other in zip(found, truths, strict=True)]
    return ours_overlap(found, truths) | {
        "hd95": np.array([score.hd95 for score in scores]),
        "surface_dice": np.array([score.surface_dice for score in scores]),
    }


def monai_overlap(found: Masks, truths: Masks) -> Values:
    """MONAI's functions on the batch."""
    one, other = (torch.from_numpy(masks)[:, None].float() for masks in (found, truths))
    tp, fp, _, fn = get_confusion_matrix(one, other).double()[:, 0].unbind(dim=1)
    return {
        "dice": compute_dice(one, other)[:, 0].double().numpy(),
        "iou": compute_iou(one, other)[:, 0].double().numpy(),
        "precision": (tp / (tp + fp)).numpy(),
        "recall": (tp / (tp + fn)).numpy(),
    }


def monai(found: Masks, truths: Masks) -> Values:
    """MONAI's functions on the batch, outlines included."""
    one, other = (torch.from_numpy(masks)[:, None].float() for masks in (found, truths))
    return monai_overlap(found, truths) | {
        "hd95": compute_hausdorff_distance(one, other, include_background=True, percentile=95)[:, 0].double().numpy(),
        "surface_dice": compute_surface_dice(one, other, [TOLERANCE_PX], include_background=True)[:, 0].double().numpy(),
    }


def torchmetrics_overlap(found: Masks, truths: Masks) -> Values:
    """torchmetrics' functions, each slice a sample."""
    one, other = (torch.from_numpy(masks).flatten(1).int() for masks in (found, truths))
    rules = {"dice": binary_f1_score, "precision": binary_precision, "recall": binary_recall}
    values = {name: rule(one, other, multidim_average="samplewise").double().numpy() for name, rule in rules.items()}
    each = [binary_jaccard_index(first, second) for first, second in zip(one, other, strict=True)]  # has no samplewise mode
    return values | {"iou": torch.stack(each).double().numpy()}


def timed(contender: Callable[[Masks, Masks], Values], found: Masks, truths: Masks, rounds: int) -> tuple[float, Values]:
    """Best seconds over rounds, and the values."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        values = contender(found, truths)
        times.append(time.perf_counter() - started)
    return min(times), values


def largest_difference(values: Values, reference: Values, both: Masks) -> float:
    """Over slices on which both masks show something: elsewhere each library has its own convention."""
    return max(float(np.abs(values[name] - reference[name])[both].max()) for name in values)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--slices", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # MONAI warns at every empty mask
    found, truths = pairs(options.slices)
    both = found.any(axis=(1, 2)) & truths.any(axis=(1, 2))
    tables: dict[str, dict[str, Callable[[Masks, Masks], Values]]] = {
        "overlap, HD95 and surface Dice": {"ours": ours, "MONAI": monai},
        "overlap alone": {"ours": ours_overlap, "MONAI": monai_overlap, "torchmetrics": torchmetrics_overlap},
    }
    print(f"{options.slices} slices of 256x256, {int(both.sum())} with a tumour; {torch.get_num_threads()} threads")
    for title, contenders in tables.items():
        results = {name: timed(contender, found, truths, options.rounds) for name, contender in contenders.items()}
        fastest, reference = results["ours"]
        print(f"\n| {title} | slices a second | our speed, times | largest difference |\n| --- | --- | --- | --- |")
        for name, (seconds, values) in results.items():
            difference = largest_difference(values, reference, both)
            print(f"| {name} | {options.slices / seconds:,.0f} | {seconds / fastest:.2f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
