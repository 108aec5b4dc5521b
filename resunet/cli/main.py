"""The ``resunet`` command. Exit status 0: done; 2: wrong use or unreadable input, with one sentence on stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resunet.cli.parser import SHOWN_AS, build_parser
from resunet.errors import InputError

if TYPE_CHECKING:
    from resunet.inference.predict_files import Choices

TRAINING = ("torch", "torchvision", "onnx", "safetensors")  # packages that the app does without


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return int(COMMANDS[options.command](options) or 0)
    except InputError as error:
        print(f"resunet: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in TRAINING:
            raise
        print(f"resunet: This command needs {error.name}; run pip install -r requirements-train.txt.", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        target = f" ({error.filename})" if error.filename else ""
        print(f"resunet: {error.strerror or error}{target}; nothing that was complete has been changed.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("resunet: stopped; finished files are whole and training continues with --resume.", file=sys.stderr)
        return 130


# Each command imports what it needs, so that --help and wrong use answer at once.


def _commands() -> Any:
    from resunet.cli import commands

    return commands


def _predict(options: argparse.Namespace) -> int:
    from resunet.inference.predict_files import predict_case, predict_files

    if bool(options.images) == bool(options.case):
        raise InputError("Give files or folders to segment, or one patient's files with --case.")
    if options.case and len(dict(options.case)) < len(options.case):
        raise InputError("--case names one role twice; give each of pre, flair and post once.")
    choices = _choices(options)
    failed = False
    lines = (
        predict_case(dict(options.case), options.out, options.model, choices)
        if options.case
        else predict_files(options.images, options.out, options.model, choices)
    )
    for line in lines:
        failed = failed or "error" in line
        print(json.dumps(line), flush=True)
    return 2 if failed else 0


def _choices(options: argparse.Namespace) -> Choices:
    from resunet.inference.predict_files import Choices

    files = {name: getattr(options, name) for name in ("png", "probability", "resume") if hasattr(options, name)}
    asked = SHOWN_AS.get(getattr(options, "asked", None) or "")
    return Choices(options.threshold, options.gate, options.tta, **files, asked=asked)


def _recogniser(options: argparse.Namespace) -> None:
    from resunet.inference.recogniser import FOLDER
    from resunet.training.recognition import train_recogniser

    print(json.dumps(train_recogniser(options.out or FOLDER), indent=2))


def _train(options: argparse.Namespace) -> None:
    from resunet.training.distributed import process_group

    if options.all:
        from resunet.cli.study import run_study

        for line in run_study(options.data):
            print(line, flush=True)
        return
    from resunet.training.loop import train
    from resunet.training.recipes import find_recipe

    recipe = find_recipe(options.recipe, **({} if options.seed is None else {"seed": options.seed}))
    with process_group():
        train(recipe, options.data, options.out or Path("runs") / recipe.name, options.resume, options.imagenet)


def _evaluate(options: argparse.Namespace) -> int:
    from resunet.cli.measuring import evaluate

    summary, out = evaluate(options.model, options.data, options.split, options.out, _choices(options))
    if not summary:
        print(f"done with this process's share; the last one writes {out}")
        return 0
    print(f"{summary['model']}, {summary['protocol']}: {summary['n_patients']} patients, {summary['n_slices']} slices")
    for name, figure in summary["metrics"].items():
        print(
            f"  {name:32s} {figure['value']:8.4f}  [{figure['low']:.4f}, {figure['high']:.4f}]"
            f"  n={figure['n']} {figure['unit']}s"
        )
    print(f"written to {out}")
    for note in summary.get("notes", ()):
        print(note)
    for case, problem in summary.get("problems", {}).items():
        print(f"{case}: {problem}", file=sys.stderr)
    return 2 if summary.get("problems") else 0


def _compare(options: argparse.Namespace) -> None:
    from resunet.evaluation.compare import wide

    for name, table in _commands().compare(options.evaluation, options.out).items():
        shown = wide(table) if name == "metrics" else table
        print(f"\n{name}\n{shown.to_string(index=False, float_format='{:.4g}'.format)}")


def _pull(options: argparse.Namespace) -> None:
    from resunet.catalogue import pull

    print(f"{options.model} is now in {pull(options.model, options.to)}")


def _push(options: argparse.Namespace) -> None:
    from resunet.catalogue import find_model
    from resunet.data.samples import SAMPLES
    from resunet.data.slices import SliceRecord
    from resunet.data.sources import find_slices
    from resunet.hub import SAMPLE_SET, SLICE_SET, push, push_samples, push_slices

    if options.model == SAMPLE_SET:
        pin = push_samples(options.samples or SAMPLES, options.repo, options.private)
    elif options.model == SLICE_SET:
        slices, _ = find_slices(options.data, options.split, "patient")
        records = [record for record in slices if isinstance(record, SliceRecord)]
        pin = push_slices(records, options.split, options.repo, options.private)
    else:
        pin = push(find_model(options.model), options.repo, options.private)
    print(f"uploaded; pin it with {options.model}={pin.repo}@{pin.revision}")


def _simulate(options: argparse.Namespace) -> None:
    from resunet.data.samples import SAMPLES
    from resunet.simulation.bundle import write_samples

    slices, examinations = write_samples(options.out or SAMPLES)
    print(f"{slices} simulated slices and {examinations} examinations in {options.out or SAMPLES}")


COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "predict": _predict,
    "train": _train,
    "recogniser": _recogniser,
    "evaluate": _evaluate,
    "compare": _compare,
    "tune": lambda options: print(json.dumps(_commands().tune(options.model, options.data), indent=2)),
    "promote": lambda options: print(f"now {_commands().promote(options.run_folder, options.to)}"),
    "export": lambda options: print(_commands().export(options.model)),
    "time": lambda options: print(*_commands().time_models(options.models), sep="\n"),
    "prepare": lambda _: print(*_commands().prepare(), sep="\n"),
    "cards": lambda _: print(f"{_commands().renew_cards()} cards, and the documents' tables"),
    "pull": _pull,
    "push": _push,
    "simulate": _simulate,
}
