"""Whole volumes against their true masks, in millimetres and millilitres: one row per case, and the figures over all."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from resunet.errors import InputError
from resunet.evaluation.aggregate import RESAMPLES, Resampling, mean_figure, median_figure
from resunet.evaluation.overlap import count_pixels, dice
from resunet.evaluation.surface import surface_scores
from resunet.examination import LOCAL, Examination
from resunet.files import atomic_files, write_csv, write_json
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.shards import Shard
from resunet.inference.volume_pipeline import VolumePrediction, predict_volume
from resunet.model_folder import CASES, SUMMARY
from resunet.reading.scan import BoolMask
from resunet.reading.sequences import SEQUENCE_WORDS
from resunet.reading.stored_file import Decoder

ROWS = "rows"  # folder with a row for each case that is measured, until all are
TOLERANCE_MM = 2.0  # of surface Dice
OnProgress = Callable[[int, int], object]  # cases done, and slices of the next


class VolumeScores(NamedTuple):
    """A mask against the truth over the whole volume.

    Dice and surface Dice are NaN where both are empty and 0 where one is; distances are NaN in either case. Without voxel
    sizes distances and volumes are NaN.
    """

    dice: float
    hd95_mm: float
    surface_dice_2mm: float
    volume_ml: float
    true_ml: float

    @property
    def volume_error_ml(self) -> float:
        """Predicted minus true."""
        return self.volume_ml - self.true_ml


class MeasuredCases(NamedTuple):
    """What came of each case.

    Attributes:
        table: one row per case that was measured: case, slices, dice, hd95_mm, surface_dice_2mm, volume_ml, true_ml,
            volume_error_ml, p_tumour, seconds.
        problems: by the name of each other case, the sentence that says why not.
    """

    table: pd.DataFrame
    problems: dict[str, str]


def score_volume(prediction: VolumePrediction, mask: BoolMask, truth: BoolMask) -> VolumeScores:
    """Scores of a mask (D, H, W) against the truth (D, H, W)."""
    tp, fp, fn, _ = (part.sum(keepdims=True) for part in count_pixels(mask, truth))
    overlap = float(dice(tp, fp, fn)[0])
    sides = prediction.volume.axial_sides
    if sides is None:
        return VolumeScores(overlap, math.nan, math.nan, math.nan, math.nan)
    surface = surface_scores(mask, truth, TOLERANCE_MM, sides)
    millilitre = math.prod(sides) / 1000
    if mask.any() != truth.any():  # nothing of the one outline is near the other
        surface = surface._replace(surface_dice=0.0)
    return VolumeScores(overlap, *surface, int(mask.sum()) * millilitre, int(truth.sum()) * millilitre)


def measure_cases(
    pipeline: TumourPipeline,
    cases: Sequence[Examination],
    tta: bool = False,
    on_progress: OnProgress | None = None,
    decoder: Decoder = LOCAL,
) -> MeasuredCases:
    """Run a model over cases. One that cannot be read, or whose mask does not lie on its grid, costs the others nothing.

    Args:
        on_progress: called after each slice; an exception that it raises ends the work.
    """
    rows = []
    problems = dict[str, str]()
    for number, case in enumerate(cases):
        started = time.perf_counter()
        try:
            _check_known(pipeline, case)
            volume = case.volume(decoder)
            truth = case.true_mask(volume, decoder)
        except InputError as error:
            problems[case.name] = str(error)
            continue
        prediction = predict_volume(pipeline, volume, tta, on_progress and _of_case(on_progress, number))
        scores = score_volume(prediction, prediction.axial_mask, truth)
        judged = prediction.p_tumour[np.isfinite(prediction.p_tumour)]
        rows.append(
            {
                "case": case.name,
                "slices": len(truth),
                **scores._asdict(),
                "volume_error_ml": scores.volume_error_ml,
                "p_tumour": float(judged.max()) if judged.size else math.nan,
                "seconds": round(time.perf_counter() - started, 2),
            }
        )
    return MeasuredCases(pd.DataFrame(rows), problems)


def _check_known(pipeline: TumourPipeline, case: Examination) -> None:
    """Refuse a case that says that it is another sequence than the model knows. Raises InputError."""
    stated, known = case.main.reading.sequence, pipeline.stage_2.config.data_set.sequence
    if stated and known and stated != known:
        model = pipeline.stage_2.config.display_name
        raise InputError(f"{case.name} is {SEQUENCE_WORDS[stated]}, and {model} knows {SEQUENCE_WORDS[known]}.")


def measure_in_shards(
    pipeline: TumourPipeline, cases: Sequence[Examination], out: Path, tta: bool, on_progress: OnProgress | None = None
) -> MeasuredCases | None:
    """`measure_cases` for long lists: each case's row is kept under `out` as it comes, so that a second start goes on.

    Several processes share the list (`Shard`). Returns all rows to the process that finds them complete, else None.
    """
    digests = pipeline.stage_2.config.sha256
    asked = [digests, pipeline.threshold, pipeline.gate, tta]
    places = [(out / ROWS / f"{number:06d}.json", [case.name, *asked]) for number, case in enumerate(cases)]
    for number in Shard.of_launcher().of(range(len(cases))):
        path, key = places[number]
        if _kept_row(path, key) is None:
            table, problems = measure_cases(pipeline, [cases[number]], tta, on_progress and _numbered(on_progress, number))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"key": key, "rows": table.to_dict("records"), "problems": problems})
    kept = [_kept_row(path, key) for path, key in places]
    rows = [row for content in kept if content for row in content["rows"]]
    if None in kept:
        return None
    problems = {name: sentence for content in kept if content for name, sentence in content["problems"].items()}
    table = pd.DataFrame(rows)
    figures = table.columns.drop("case", errors="ignore")
    return MeasuredCases(table.assign(**{name: pd.to_numeric(table[name]) for name in figures}), problems)


def _kept_row(path: Path, key: Sequence[object]) -> dict[str, Any] | None:
    """What was kept of a case, where it was measured by the same model in the same way."""
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content if content["key"] == list(key) else None


def _numbered(on_progress: OnProgress, number: int) -> OnProgress:
    return lambda _, slices: on_progress(number, slices)


def _of_case(on_progress: OnProgress, number: int) -> Callable[[int], object]:
    return lambda slices: on_progress(number, slices)


def summarise_cases(table: pd.DataFrame, model: str, threshold: float, gate: float) -> dict[str, Any]:
    """summary.json of an evaluation of whole volumes, from the rows of cases.csv; every figure a mean over cases that have it.

    Cases whose true mask is empty have no Dice, as in the evaluation by slices.
    """
    resampling = Resampling.of_patients(len(table))
    shows_tumour = table["true_ml"].to_numpy() > 0
    overlap = np.where(shows_tumour | np.isnan(table["true_ml"]), table["dice"], np.nan)
    metrics = {
        "volume_dice_mean": mean_figure(overlap, resampling),
        "volume_dice_median": median_figure(overlap, resampling),
        "hd95_mm": mean_figure(table["hd95_mm"].to_numpy(float), resampling),
        "surface_dice_2mm": mean_figure(table["surface_dice_2mm"].to_numpy(float), resampling),
        "volume_error_ml": mean_figure(table["volume_error_ml"].to_numpy(float), resampling),
        "absolute_volume_error_ml": mean_figure(table["volume_error_ml"].abs().to_numpy(float), resampling),
    }
    return {
        "model": model,
        "protocol": "volumes",
        "threshold": threshold,
        "gate": gate,
        "confidence": f"95 %, {RESAMPLES} bootstrap resamples of cases",
        "n_patients": len(table),
        "n_slices": int(table["slices"].sum()),
        "metrics": metrics,
    }


def write_cases(
    out: Path, measured: MeasuredCases, notes: Sequence[str], pipeline: TumourPipeline, model: str
) -> dict[str, Any]:
    """Write cases.csv and the summary.json that follows from it. Returns the summary.

    Raises InputError where not one case could be measured.
    """
    if measured.table.empty:
        raise InputError(next(iter(measured.problems.values())))
    with atomic_files(out) as new:
        write_csv(new / CASES, measured.table)
        summary = summarise_cases(pd.read_csv(new / CASES, dtype={"case": str}), model, pipeline.threshold, pipeline.gate)
        summary["postprocessing"] = asdict(pipeline.clean_up)
        summary |= {"problems": measured.problems, "notes": list(notes)}
        write_json(new / SUMMARY, summary)
    shutil.rmtree(out / ROWS, ignore_errors=True)
    return summary
