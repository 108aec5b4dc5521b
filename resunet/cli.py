"""The ``resunet`` command. Exit status 0: done; 2: wrong use or unreadable input, with one sentence on stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resunet.errors import InputError

if TYPE_CHECKING:
    from resunet.inference.predict_files import Choices

SPLITS = ("test", "val", "train", "all", "buda10", "cross_validated")
SPLIT_HELP = "all: every patient found; cross_validated: the union of the folds' test splits, without data"
AS: dict[str, Any] = {"flair": "flair", "t1ce": "post"}  # what a person may say that files show, and what the package calls it
TRAINING = ("torch", "torchvision", "onnx", "safetensors")  # packages that the app does without
DESCRIPTION = "Brain-tumour segmentation in two stages: a ResNet-50 gate and a ResUNet."


def build_parser() -> argparse.ArgumentParser:
    """The command line as a parser; every subcommand sets `run`."""
    parser = argparse.ArgumentParser(prog="resunet", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="segment slices, volumes, or folders of them")
    predict.add_argument("images", nargs="*", type=Path, metavar="IMAGE_OR_FOLDER")
    predict.add_argument(
        "--case", nargs="+", type=_role, metavar="ROLE=FILE", help="NIfTI files of one patient: pre, flair, post"
    )
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help="where <stem>_mask.png or .nii.gz goes")
    predict.add_argument("--model", help="model folder or name (default: the flagship; for volumes the volume model)")
    predict.add_argument(
        "--as", choices=sorted(AS), dest="asked", help="judge what the files show as that sequence, whatever it looks like"
    )
    predict.add_argument("--png", action="store_true", help="for volumes, also write one PNG mask per axial slice")
    predict.add_argument("--resume", action="store_true", help="skip inputs whose mask is already in DIR")
    predict.add_argument("--probability", action="store_true", help="for volumes, also write <stem>_probability.nii.gz")
    _add_choices(predict)
    predict.set_defaults(run=_predict)

    _add_study(commands)
    _add_hub(commands)
    simulate = commands.add_parser("simulate", help="draw simulated slices and volumes (needs Debian's mricron-data)")
    simulate.add_argument("--out", type=Path, metavar="DIR", help="default: the bundled samples")
    simulate.set_defaults(run=_simulate)
    return parser


def _add_study(commands: Any) -> None:
    """The commands that train, choose, measure and compare."""
    train = commands.add_parser("train", help="train a recipe into runs/NAME")
    which = train.add_mutually_exclusive_group(required=True)
    which.add_argument("--recipe", metavar="NAME")
    which.add_argument("--all", action="store_true", help="run or resume the whole study and write weights/")
    _add_data(train)
    train.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/NAME)")
    train.add_argument("--resume", action="store_true", help="continue from the run's last checkpoint")
    train.add_argument("--seed", type=int)
    train.add_argument("--imagenet", type=Path, metavar="FILE", help="ImageNet weights, where they cannot be fetched")
    train.set_defaults(run=_train)
    recogniser = commands.add_parser(
        "recogniser", help="train and measure what tells sequences, planes and other pictures apart"
    )
    recogniser.add_argument("--out", type=Path, metavar="DIR", help="default: the bundled one")
    recogniser.set_defaults(run=_recogniser)

    evaluate = commands.add_parser("evaluate", help="measure a model on one split of the data")
    evaluate.add_argument("model", metavar="MODEL", help="model folder or name")
    _add_data(evaluate)
    evaluate.add_argument("--split", choices=SPLITS, default="test", help=SPLIT_HELP)
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="default: MODEL/evaluation/SPLIT")
    _add_choices(evaluate)
    evaluate.set_defaults(run=_evaluate)

    compare = commands.add_parser("compare", help="all bundled models in one table, with paired tests")
    compare.add_argument("--evaluation", default="test", metavar="NAME", help="which one (default: test)")
    compare.add_argument("--out", type=Path, metavar="DIR", help="also write the tables there as CSV")
    compare.set_defaults(run=_compare)

    tune = commands.add_parser("tune", help="choose threshold, clean-up, gate and calibration on validation")
    tune.add_argument("model", metavar="MODEL", help="model folder or name")
    _add_data(tune)
    tune.set_defaults(run=lambda options: print(json.dumps(_commands().tune(options.model, options.data), indent=2)))

    promote = commands.add_parser("promote", help="copy a finished run to weights/ with its graph and card")
    promote.add_argument("run_folder", type=Path, metavar="RUN")
    promote.add_argument("--to", type=Path, metavar="DIR", help="default: weights/<run's name>")
    promote.set_defaults(run=lambda options: print(f"now {_commands().promote(options.run_folder, options.to)}"))

    export = commands.add_parser("export", help="write the graph of a model that has weights")
    export.add_argument("model", metavar="MODEL", help="model folder, run folder or name")
    export.set_defaults(run=lambda options: print(_commands().export(options.model)))

    timing = commands.add_parser("time", help="measure the milliseconds that a slice takes; nothing else should run")
    timing.add_argument("models", nargs="*", metavar="MODEL", help="model folder or name (default: the bundled ones)")
    timing.set_defaults(run=lambda options: print(*_commands().time_models(options.models), sep="\n"))

    cards = commands.add_parser("cards", help="write the model cards and the documents' tables again from their files")
    cards.set_defaults(run=lambda _: print(f"{_commands().renew_cards()} cards, and the documents' tables"))


def _add_hub(commands: Any) -> None:
    """The commands that exchange model folders and samples with the Hub."""
    pull = commands.add_parser("pull", help="fetch a model folder from the Hub into weights/")
    pull.add_argument("model", metavar="MODEL", help="name in RESUNET_HUB, or owner/name@commit")
    pull.add_argument("--to", type=Path, metavar="DIR", help="default: weights/<the model's name>")
    pull.set_defaults(run=_pull)

    push = commands.add_parser("push", help="upload a model folder with its card to the Hub")
    push.add_argument("model", metavar="MODEL", help="model folder or name, or 'samples' for the sample slices")
    push.add_argument("--samples", type=Path, metavar="DIR", help="samples' folder (default: the bundled)")
    push.add_argument("--repo", required=True, metavar="OWNER/NAME")
    push.add_argument("--private", action="store_true", help="make the repository private when it is made")
    push.set_defaults(run=_push)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder (default: LGG_DATA)")


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tta", action="store_true", help="average over four flips: slower, a little better")
    parser.add_argument("--threshold", type=_share, help="of a pixel, in [0, 1] (default: the model's)")
    parser.add_argument("--gate", type=_share, help="in [0, 1]; 0 segments everything (default: the model's)")


def _role(text: str) -> tuple[str, Path]:
    role, equals, file = text.partition("=")
    if role not in ("pre", "flair", "post") or not equals or not file:
        raise argparse.ArgumentTypeError(f"'{text}' is not pre=FILE, flair=FILE or post=FILE")
    return role, Path(file)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
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
    from resunet import commands

    return commands


def _predict(options: argparse.Namespace) -> int:
    from resunet.inference.predict_files import predict_case, predict_files

    if bool(options.images) == bool(options.case):
        raise InputError("Give files or folders to segment, or one patient's files with --case.")
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
    asked = AS.get(getattr(options, "asked", None) or "")
    return Choices(options.threshold, options.gate, options.tta, **files, asked=asked)


def _recogniser(options: argparse.Namespace) -> None:
    from resunet.inference.recogniser import FOLDER
    from resunet.training.recognition import train_recogniser

    print(json.dumps(train_recogniser(options.out or FOLDER), indent=2))


def _train(options: argparse.Namespace) -> None:
    from resunet.training.distributed import process_group

    if options.all:
        from resunet.study import run_study

        for line in run_study(options.data):
            print(line, flush=True)
        return
    from resunet.training.loop import train
    from resunet.training.recipes import find_recipe

    recipe = find_recipe(options.recipe, **({} if options.seed is None else {"seed": options.seed}))
    with process_group():
        train(recipe, options.data, options.out or Path("runs") / recipe.name, options.resume, options.imagenet)


def _evaluate(options: argparse.Namespace) -> int:
    summary, out = _commands().evaluate(options.model, options.data, options.split, options.out, _choices(options))
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
    from resunet.hub import SAMPLE_SET, push, push_samples

    if options.model == SAMPLE_SET:
        pin = push_samples(options.samples or SAMPLES, options.repo, options.private)
    else:
        pin = push(find_model(options.model), options.repo, options.private)
    print(f"uploaded; pin it with {options.model}={pin.repo}@{pin.revision}")


def _simulate(options: argparse.Namespace) -> None:
    from resunet.data.samples import SAMPLES
    from resunet.simulation.bundle import write_samples

    slices, examinations = write_samples(options.out or SAMPLES)
    print(f"{slices} simulated slices and {examinations} examinations in {options.out or SAMPLES}")
