"""Choices made on the validation patients after training: threshold, clean-up, gate, calibration. Test is not touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from resunet.data.slices import Slice, neighbours, read_pair
from resunet.data.transforms import FloatImage
from resunet.errors import InputError
from resunet.evaluation.measure import prepare
from resunet.evaluation.overlap import count_pixels, dice, volume_dice
from resunet.inference.gate import is_below_gate
from resunet.inference.postprocessing import to_mask
from resunet.inference.stages import Stage1, Stage2
from resunet.model_folder import Calibration, CleanUp, Gate, ModelFolder

THRESHOLDS = tuple(round(0.20 + 0.05 * step, 2) for step in range(15))
SLICE_GATES = (0.02, 0.05, *THRESHOLDS)  # a network that sees neighbours may do without one, at 0
CLEAN_UPS = tuple(CleanUp(area, only) for area, only in product((0, 20, 40, 60, 80, 120), (False, True)))
FALSE_ALARM_WEIGHT = 0.1
TIE_TOLERANCE = 2e-3  # figures of ten patients closer than this are a tie; the simpler choice stays


def tune_stage_1(folder: ModelFolder, records: Sequence[Slice]) -> dict[str, Any]:
    """Calibrate p_tumour (Platt 1999) and pick the threshold of highest accuracy; write both into config.json.

    Returns what was written. Raises InputError: `records` without both kinds of slices.
    """
    stage_1 = Stage1(folder)
    config = stage_1.config = replace(stage_1.config, calibration=Calibration())
    p_tumour, truth = _stage_1_outputs(stage_1, records)
    if truth.all() or not truth.any():
        raise InputError("Calibration needs validation slices with a tumour and without; add the missing kind.")
    clipped = np.clip(p_tumour, 1e-6, 1 - 1e-6)
    logits = np.log(clipped / (1 - clipped))
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], truth)
    scale, shift = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    calibrated = 1 / (1 + np.exp(-(scale * logits + shift)))
    accuracy = {threshold: float(np.mean((calibrated >= threshold) == truth)) for threshold in THRESHOLDS}
    best = max(accuracy, key=lambda threshold: (round(accuracy[threshold], 4), -abs(threshold - 0.5)))
    chosen: dict[str, Any] = {
        "calibration": Calibration(scale, shift),
        "threshold": best,
        "threshold_split": "val",
        "threshold_figures": {"val_accuracy": accuracy[best]},
    }
    folder.write_config(replace(config, **chosen))
    return chosen


def calibrate_kinds(folder: ModelFolder, records: Sequence[Slice]) -> dict[str, Any]:
    """Find the temperature that makes the kinds' probabilities likeliest (Guo et al., ICML 2017); write it into config.json.

    Returns what was written.
    """
    config = folder.config()
    folder.write_config(replace(config, calibration=Calibration()))
    classifier = Stage1(folder) if config.task == "classification" else Stage2(folder)
    shares = np.array([_kinds(classifier, prepare(record).image) for record in records])
    truth = np.array([config.classes.index(record.tumour) for record in records])
    logits = np.log(np.clip(shares, 1e-7, 1))

    def surprise(scale: float) -> float:
        return -float(np.mean(log_softmax(scale * logits, axis=1)[np.arange(len(truth)), truth]))

    scale = float(minimize_scalar(surprise, bounds=(0.05, 5.0), method="bounded").x)
    calibration = Calibration(scale)
    folder.write_config(replace(config, calibration=calibration))
    return {"calibration": calibration}


def _kinds(classifier: Stage1 | Stage2, image: FloatImage) -> npt.NDArray[np.float32]:
    shares = classifier.kinds(image) if isinstance(classifier, Stage1) else classifier(image).kinds
    assert shares is not None  # the caller knows that the network tells kinds
    return shares


def _stage_1_outputs(stage_1: Stage1, records: Sequence[Slice]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    p_tumour = [stage_1(prepare(record).image)[0] for record in records]
    return np.array(p_tumour), np.array([bool(record.mask().any()) for record in records])


def tune_stage_2(folder: ModelFolder, stage_1: Stage1 | None, records: Sequence[Slice]) -> dict[str, Any]:
    """Pick threshold and clean-up, then the gate, by `balanced_dice`; write them into config.json.

    Returns what was written.
    """
    config = folder.config()
    maps = stage_2_outputs(Stage2(folder), records)
    truths = [read_pair(record).mask for record in records]
    patients = np.array([record.patient for record in records])
    healthy = np.array([record.without_tumour for record in records])
    figures: dict[tuple[float, CleanUp], float] = {}
    counts: dict[tuple[float, CleanUp], npt.NDArray[np.int64]] = {}
    choices = list(product(THRESHOLDS, CLEAN_UPS))
    for choice in tqdm(choices, desc="threshold and clean-up"):
        counts[choice] = pixel_counts(maps, truths, *choice)
        figures[choice] = balanced_dice(patients, counts[choice]) - false_alarm_cost(healthy, counts[choice])
    threshold, clean_up = best_choice(figures)
    best = threshold, clean_up
    chosen: dict[str, Any] = {
        "threshold": threshold,
        "postprocessing": clean_up,
        "threshold_split": "val",
        "threshold_figures": {
            "val_balanced_dice": balanced_dice(patients, counts[best]),
            "val_balanced_dice_at_half_without_clean_up": balanced_dice(patients, counts[0.5, CleanUp()]),
            **({"val_no_tumour_found": found_share(healthy, counts[best])} if healthy.any() else {}),
            "val_volume_dice_mean": mean_volume_dice(patients, counts[best]),
        },
    }
    if stage_1 is not None:
        gates = (0.0, *SLICE_GATES) if config.context else SLICE_GATES
        chosen["gate"] = _gate(stage_1, records, patients, healthy, counts[best], gates)
    folder.write_config(replace(config, **chosen))
    return chosen


def best_choice(figures: dict[tuple[float, CleanUp], float]) -> tuple[float, CleanUp]:
    """The choice of highest figure; among ties the one with least clean-up and a threshold nearest one half."""
    top = max(figures.values())
    ties = [choice for choice, value in figures.items() if value >= top - TIE_TOLERANCE]
    return min(ties, key=lambda choice: (choice[1].largest_only, choice[1].min_area, abs(choice[0] - 0.5)))


def stage_2_outputs(stage_2: Stage2, records: Sequence[Slice]) -> list[npt.NDArray[np.float16]]:
    """Probability maps at each slice's own size, held as float16: validation is small enough to keep.

    Args:
        records: sorted by patient and number.
    """
    maps: list[npt.NDArray[np.float16]] = []
    for run in neighbours(records):
        slices = [prepare(record) for record in run]
        outputs = stage_2.volume((each.image for each in slices), len(slices))
        maps += [each.framing.put_back(output.mean).astype(np.float16) for output, each in zip(outputs, slices, strict=True)]
    return maps


def pixel_counts(maps: Iterable[Any], truths: Iterable[Any], threshold: float, clean_up: CleanUp) -> npt.NDArray[np.int64]:
    """tp, fp, fn (slices, 3) of probability maps (H, W) against true masks (H, W)."""
    masks = (to_mask(probability.astype(np.float32), threshold, clean_up) for probability in maps)
    counts = [count_pixels(mask[None], truth[None]) for mask, truth in zip(masks, truths, strict=True)]
    return np.array([(int(count.tp[0]), int(count.fp[0]), int(count.fn[0])) for count in counts])


def mean_volume_dice(patients: npt.NDArray[np.str_], counts: npt.NDArray[np.int64]) -> float:
    """Mean over patients of the Dice of all their slices; `counts` is (slices, 3) of tp, fp, fn."""
    table = pd.DataFrame(counts, columns=["tp", "fp", "fn"]).assign(patient=patients)
    return float(volume_dice(table).mean())


def balanced_dice(patients: npt.NDArray[np.str_], counts: npt.NDArray[np.int64]) -> float:
    """Mean of the mean volume Dice and the mean Dice of tumour slices.

    Volume Dice alone is all large slices: it would trade every small tumour for a gain of 0.001.
    """
    tp, fp, fn = counts.T
    tumour = tp + fn > 0
    return (mean_volume_dice(patients, counts) + float(dice(tp, fp, fn)[tumour].mean())) / 2


def found_share(healthy: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64]) -> float:
    """Share of the slices of people without a tumour on which some pixel is predicted; 0 where there are no such people."""
    return float((counts[healthy, 1] > 0).mean()) if healthy.any() else 0.0


def false_alarm_cost(healthy: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64]) -> float:
    """What false alarms on people without a tumour weigh against Dice: ten of a hundred slices as much as 0.01."""
    return FALSE_ALARM_WEIGHT * found_share(healthy, counts)


def _gate(
    stage_1: Stage1,
    records: Sequence[Slice],
    patients: npt.NDArray[np.str_],
    healthy: npt.NDArray[np.bool_],
    counts: npt.NDArray[np.int64],
    gates: Sequence[float],
) -> Gate:
    """The gate, one of `gates`, of highest gated `balanced_dice` less `false_alarm_cost`; among ties the lowest one."""
    p_tumour, _ = _stage_1_outputs(stage_1, records)
    figures: dict[float, float] = {}
    gated: dict[float, npt.NDArray[np.int64]] = {}
    for gate in gates:
        empty = counts * [0, 0, 1] + counts[:, :1] * [0, 0, 1]  # nothing is predicted: what was found is missed
        gated[gate] = np.where(is_below_gate(p_tumour[:, None], gate), empty, counts)
        figures[gate] = balanced_dice(patients, gated[gate]) - false_alarm_cost(healthy, gated[gate])
    top = max(figures.values())
    gate = min(gate for gate, value in figures.items() if value >= top - TIE_TOLERANCE)
    return Gate(stage_1.config.name, gate, "val", balanced_dice(patients, gated[gate]))
