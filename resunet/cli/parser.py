"""What the ``resunet`` command accepts: subcommands, arguments and their help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

SPLITS = ("test", "val", "train", "all", "buda10", "cross_validated")
SPLIT_HELP = "all: every patient found; cross_validated: the union of the folds' test splits, without data"
SHOWN_AS: dict[str, Any] = {"flair": "flair", "t1ce": "post"}  # by what a person says that files show, the package's word
DESCRIPTION = "Brain-tumour segmentation in two stages: a ResNet-50 gate and a ResUNet."


def build_parser() -> argparse.ArgumentParser:
    """The command line as a parser; `command` of what it parses is the subcommand's name."""
    parser = argparse.ArgumentParser(prog="resunet", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    predict = commands.add_parser("predict", help="segment slices, volumes, or folders of them")
    predict.add_argument("images", nargs="*", type=Path, metavar="IMAGE_OR_FOLDER")
    predict.add_argument(
        "--case", nargs="+", type=_role, metavar="ROLE=FILE", help="NIfTI files of one patient: pre, flair, post"
    )
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help="where <stem>_mask.png or .nii.gz goes")
    predict.add_argument("--model", help="model folder or name (default: the flagship; for volumes the volume model)")
    predict.add_argument(
        "--as",
        choices=sorted(SHOWN_AS),
        dest="asked",
        help="judge the files as that sequence, whatever they look like",
    )
    predict.add_argument("--png", action="store_true", help="for volumes, also write one PNG mask per axial slice")
    predict.add_argument("--resume", action="store_true", help="skip inputs whose mask is already in DIR")
    predict.add_argument("--probability", action="store_true", help="for volumes, also write <stem>_probability.nii.gz")
    _add_choices(predict)

    _add_study(commands)
    _add_hub(commands)
    simulate = commands.add_parser("simulate", help="draw simulated slices and volumes (needs Debian's mricron-data)")
    simulate.add_argument("--out", type=Path, metavar="DIR", help="default: the bundled samples")
    return parser


def _add_study(commands: Any) -> None:
    """The commands that train, choose, measure and compare."""
    train = commands.add_parser("train", help="train a recipe into runs/NAME")
    which = train.add_mutually_exclusive_group(required=True)
    which.add_argument("--recipe", metavar="NAME")
    which.add_argument("--all", action="store_true", help="run or resume every LGG run and write weights/")
    _add_data(train)
    train.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/NAME)")
    train.add_argument("--resume", action="store_true", help="continue from the run's last checkpoint")
    train.add_argument("--seed", type=int)
    train.add_argument("--imagenet", type=Path, metavar="FILE", help="ImageNet weights, where they cannot be fetched")
    recogniser = commands.add_parser(
        "recogniser", help="train and measure what tells sequences, planes and other pictures apart"
    )
    recogniser.add_argument("--out", type=Path, metavar="DIR", help="default: the bundled one")

    evaluate = commands.add_parser("evaluate", help="measure a model on one split of the data")
    evaluate.add_argument("model", metavar="MODEL", help="model folder or name")
    _add_data(evaluate)
    evaluate.add_argument("--split", choices=SPLITS, default="test", help=SPLIT_HELP)
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="default: MODEL/evaluation/SPLIT")
    _add_choices(evaluate)

    compare = commands.add_parser("compare", help="all bundled models in one table, with paired tests")
    compare.add_argument("--evaluation", default="test", metavar="NAME", help="which one (default: test)")
    compare.add_argument("--out", type=Path, metavar="DIR", help="also write the tables there as CSV")

    tune = commands.add_parser("tune", help="choose threshold, clean-up, gate and calibration on validation")
    tune.add_argument("model", metavar="MODEL", help="model folder or name")
    _add_data(tune)

    promote = commands.add_parser("promote", help="copy a finished run to weights/ with its graph and card")
    promote.add_argument("run_folder", type=Path, metavar="RUN")
    promote.add_argument("--to", type=Path, metavar="DIR", help="default: weights/<run's name>")

    export = commands.add_parser("export", help="write the graph of a model that has weights")
    export.add_argument("model", metavar="MODEL", help="model folder, run folder or name")

    timing = commands.add_parser("time", help="measure the milliseconds that a slice takes; nothing else should run")
    timing.add_argument("models", nargs="*", metavar="MODEL", help="model folder or name (default: the bundled ones)")

    commands.add_parser("prepare", help="predict the bundled sample volumes beforehand, so that the app shows them at once")
    commands.add_parser("cards", help="write the model cards and the documents' tables again from their files")


def _add_hub(commands: Any) -> None:
    """The commands that exchange model folders and samples with the Hub."""
    pull = commands.add_parser("pull", help="fetch a model folder from the Hub into weights/")
    pull.add_argument("model", metavar="MODEL", help="name in RESUNET_HUB, or owner/name@commit")
    pull.add_argument("--to", type=Path, metavar="DIR", help="default: weights/<the model's name>")

    push = commands.add_parser("push", help="upload a model folder with its card to the Hub")
    push.add_argument("model", metavar="MODEL", help="model folder or name, 'samples', or 'slices' of the LGG set")
    _add_data(push)
    push.add_argument("--split", default="test", choices=("test", "val", "train"), help="of 'slices' (default: test)")
    push.add_argument("--samples", type=Path, metavar="DIR", help="samples' folder (default: the bundled)")
    push.add_argument("--repo", required=True, metavar="OWNER/NAME")
    push.add_argument("--private", action="store_true", help="make the repository private when it is made")


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
