"""What the subcommands do: files in, files and lines out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from resunet.artifacts import REPOSITORY, ModelFolder
from resunet.cards import model_card, results_table, with_results
from resunet.data.readers import read_scan
from resunet.data.slices import SliceRecord
from resunet.data.sources import all_records, open_parts
from resunet.data.splits import BUDA_TEN
from resunet.errors import InputError
from resunet.evaluation.budget import error_budget
from resunet.evaluation.folds import fold_table, out_of_fold
from resunet.evaluation.run import Measured, Protocol, classification_table, measure, protocol_of_models, write_evaluation
from resunet.evaluation.tune import tune_stage_1, tune_stage_2
from resunet.files import atomic_folder, atomic_path, write_csv, write_text
from resunet.hub import FLAGSHIP, STAGE_1, WEIGHTS, find_model, list_models
from resunet.overlay import encode_mask
from resunet.pipeline import TumourPipeline
from resunet.runtime import configure_threads
from resunet.stages import Stage1, Stage2
from resunet.training.distributed import process_group, rank

CHECKPOINTS = "checkpoint.*"


def predict_files(
    images: Sequence[Path],
    out: Path,
    model: str | None = None,
    tta: bool = False,
    threshold: float | None = None,
    gate: float | None = None,
) -> int:
    """Segment files; one JSON line each. Returns 2 when any file could not be read, after doing all others.

    A single slice gives <stem>_mask.png, slice n of a volume <stem>_<n>_mask.png, at the input's size, 0 or 255.
    """
    files = list(_files(images))
    pipeline = TumourPipeline.load(model or FLAGSHIP)
    pipeline.threshold = pipeline.threshold if threshold is None else threshold
    pipeline.gate = pipeline.gate if gate is None else gate
    failed = False
    for file in files:
        try:
            line = _predict_file(pipeline, file, out, tta)
        except InputError as error:
            failed, line = True, {"file": str(file), "error": str(error)}
        print(json.dumps(line), flush=True)
    return 2 if failed else 0


def _files(images: Sequence[Path]) -> Iterator[Path]:
    """The files named, and those directly in the folders named, hidden ones and masks left out."""
    for path in images:
        if path.is_dir():
            found = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
            found = [file for file in found if not file.stem.endswith("_mask")]
            if not found:
                raise InputError(f"The folder {path} holds no image file.")
            yield from found
        else:
            yield path


def _predict_file(pipeline: TumourPipeline, file: Path, out: Path, tta: bool) -> dict[str, Any]:
    started = time.perf_counter()
    scan = read_scan(file)
    stem, count = stem_of(file.name), len(scan.slices)
    p_tumour, gated, pixels = 0.0, True, 0
    for number, found in enumerate(pipeline.predict_volume(scan.slices, tta), start=1):
        mask = found.mask
        with atomic_path(out / (f"{stem}_mask.png" if count == 1 else f"{stem}_{number}_mask.png")) as temporary:
            temporary.write_bytes(encode_mask(mask))
        p_tumour, gated, pixels = max(p_tumour, found.p_tumour), gated and found.gated, pixels + int(mask.sum())
    seconds = round(time.perf_counter() - started, 4)
    return {"file": str(file), "p_tumour": round(p_tumour, 6), "gated": gated, "tumour_pixels": pixels, "seconds": seconds}


def stem_of(name: str) -> str:
    """The file name without its ending; .nii.gz counts as one ending."""
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else Path(name).stem


def evaluate_model(
    model: str,
    data: Path | None,
    split: str,
    out: Path | None = None,
    tta: bool = False,
    threshold: float | None = None,
    gate: float | None = None,
) -> int:
    """Measure a model on a part of the data, write slices.csv and summary.json, print the figures."""
    configure_threads()
    folder = find_model(model)
    records = _records(data, split, protocol_of(folder))
    name = f"{split}_tta" if tta else split
    out = out or folder.path / "evaluation" / name
    found: pd.DataFrame | Measured
    with process_group():
        if folder.config().get("task") == "classification":
            stage_1 = Stage1(folder)
            protocol = Protocol(name, stage_1.threshold if threshold is None else threshold)
            found = classification_table(stage_1, records)
        else:
            stage_2, gate_model = Stage2(folder), _gate_model(folder)
            chosen = protocol_of_models(name, stage_2, gate_model, tta)
            protocol = replace(
                chosen,
                threshold=chosen.threshold if threshold is None else threshold,
                gate=chosen.gate if gate is None or gate_model is None else gate,
            )
            found = measure(stage_2, gate_model, records, protocol)
        if rank() == 0:
            _print_summary(write_evaluation(out, found, folder.name, protocol), out)
            if out.is_relative_to(folder.path):
                _renew_card(folder)
    return 0


def protocol_of(folder: ModelFolder) -> str:
    """How the data was split when the model was trained: 'patient', 'slice' or 'foldK'."""
    return str(folder.config().get("protocol", "patient"))


def _gate_model(folder: ModelFolder) -> Stage1 | None:
    """Stage 1, where it is there and the model's held-out slices were held out from it too."""
    if STAGE_1 not in list_models() or protocol_of(folder) != "patient":
        return None
    return Stage1(find_model(STAGE_1))


def _renew_card(folder: ModelFolder) -> None:
    """Let the card of a promoted model say what its files say now."""
    if folder.card_path.exists():
        write_text(folder.card_path, model_card(folder))


def _records(data: Path | None, split: str, protocol: str) -> list[SliceRecord]:
    if split == "all":
        return all_records(data)
    records = open_parts(data, protocol).part("test" if split == "buda10" else split)
    records = [record for record in records if split != "buda10" or record.patient in BUDA_TEN]
    if not records:
        raise InputError(f"The data holds no slice of the part '{split}'.")
    return records


def _print_summary(summary: dict[str, Any], out: Path) -> None:
    print(f"{summary['model']}, {summary['protocol']}: {summary['n_patients']} patients, {summary['n_slices']} slices")
    for name, figure in summary["metrics"].items():
        print(
            f"  {name:32s} {figure['value']:8.4f}  [{figure['low']:.4f}, {figure['high']:.4f}]"
            f"  n={figure['n']} {figure['unit']}s"
        )
    print(f"written to {out}")


def tune_model(model: str, data: Path | None) -> int:
    """Choose what is chosen on validation, write it to config.json and print it."""
    configure_threads()
    folder = find_model(model)
    records = open_parts(data, protocol_of(folder)).val
    if folder.config().get("task") == "classification":
        chosen = tune_stage_1(folder, records)
    else:
        chosen = tune_stage_2(folder, _gate_model(folder), records)
    _renew_card(folder)
    print(json.dumps(chosen, indent=2))
    return 0


def promote_run(run: Path, to: Path | None = None) -> int:
    """Copy a run without its checkpoint to weights/, and write its card.

    Where the recipe keeps no weights, they stay behind too.
    """
    source = ModelFolder(run)
    source.weights()  # refuses a run whose weights are missing or damaged
    target = to or WEIGHTS / run.resolve().name
    left_behind = [CHECKPOINTS, ".*"]
    if not source.keeps_weights():
        left_behind.append(source.weights_path.name)
    with atomic_folder(target) as temporary:
        shutil.copytree(run, temporary, ignore=shutil.ignore_patterns(*left_behind), dirs_exist_ok=True)
        promoted = ModelFolder(temporary)
        write_text(promoted.card_path, model_card(promoted, target.name))
    print(f"{run} is now {target}")
    return 0


def renew_cards() -> int:
    """Write every bundled model's card and the README's table of results anew from their files."""
    folders = [find_model(name) for name in list_models()]
    for folder in folders:
        write_text(folder.card_path, model_card(folder))
    readme = REPOSITORY / "README.md"
    write_text(readme, with_results(readme.read_text(encoding="utf-8"), results_table(folders)))
    print(f"{len(folders)} cards and {readme}")
    return 0


def compare_models(protocol: str, out: Path | None) -> int:
    """Print every bundled model's figures of one protocol and the paired tests; write the tables as CSV into `out`."""
    from resunet.evaluation import compare  # statsmodels takes seconds to import

    folders = {name: find_model(name) for name in list_models()}
    summaries = {name: summary for name, folder in folders.items() if (summary := folder.summary(protocol))}
    if not summaries:
        raise InputError(
            f"No model in {WEIGHTS} has an evaluation '{protocol}'; run resunet evaluate MODEL --split {protocol}."
        )
    slices = {name: folders[name].slices(protocol) for name in summaries}
    masks = {name: table for name, table in slices.items() if table is not None and "tp" in table}
    tables = {"metrics": compare.metric_table(summaries)}
    if FLAGSHIP in masks:
        same = {name: table for name, table in masks.items() if protocol_of(folders[name]) == protocol_of(folders[FLAGSHIP])}
        tables["paired"] = compare.paired_table(same, FLAGSHIP)
    budgets = {name: error_budget(table, summaries[name]["gate"]) for name, table in masks.items()}
    tables["error_budget"] = pd.DataFrame(budgets).T.rename_axis("model").reset_index()
    if FLAGSHIP in masks and STAGE_1 in folders:
        against = compare.stage_1_against_masks(masks[FLAGSHIP], float(folders[STAGE_1].config()["threshold"]))
        tables["stage_1_against_masks"] = pd.DataFrame([against])
    if folds := out_of_fold({name: table for name, table in slices.items() if table is not None}):
        tables["out_of_fold"] = fold_table(folds)
    for name, table in tables.items():
        shown = compare.wide(table) if name == "metrics" else table
        print(f"\n{name}\n{shown.to_string(index=False, float_format='{:.4g}'.format)}")
        if out is not None:
            write_csv(out / f"{name}.csv", table)
    return 0
