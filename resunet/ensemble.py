"""The folder of an ensemble: it names its members and holds the shares that fuse them, learned on validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resunet.artifacts import ModelFolder
from resunet.cards import model_card
from resunet.data.sources import open_parts
from resunet.evaluation.metrics import count_pixels
from resunet.evaluation.tune import mean_volume_dice, stage_2_outputs
from resunet.files import write_json, write_text
from resunet.hub import find_model
from resunet.models import count_gflop, count_parameters
from resunet.stages import Stage2, load_model

ENSEMBLE = "cnn_unet"
MEMBERS = ("cnn", "unet")
OF_ONE_RUN = ("validation", "optimiser", "initialisation", "recipe", "seed")  # what a member's config says of its training
SHARES = tuple(round(0.1 * step, 1) for step in range(1, 10))  # of the first member


def write_ensemble(folder: ModelFolder, data: Path | None, members: tuple[str, str] = MEMBERS) -> None:
    """Learn the fusion of two members on the validation patients and write config.json and the card.

    The share of the first member is the one of highest mean volume Dice at 0.5; both members always count. Raises
    InputError when a member or the data is missing.
    """
    configs = [find_model(name).config() for name in members]
    records = open_parts(data, str(configs[0]["protocol"])).val
    truths, patients = [record.mask() for record in records], np.array([record.patient for record in records])
    first, second = (stage_2_outputs(Stage2(find_model(name)), records) for name in members)

    def figure(share: float) -> float:
        """Mean volume Dice on validation with that share of the first member."""
        counts = []
        for one, other, truth in zip(first, second, truths, strict=True):
            mask = share * one.astype(np.float32) + (1 - share) * other.astype(np.float32) >= 0.5
            found = count_pixels(mask[None], truth[None])
            counts.append([int(found.tp[0]), int(found.fp[0]), int(found.fn[0])])
        return mean_volume_dice(patients, np.array(counts))

    figures = {share: figure(share) for share in SHARES}
    share = max(figures, key=lambda value: (round(figures[value], 4), -abs(value - 0.5)))
    config = {key: value for key, value in configs[0].items() if key not in OF_ONE_RUN} | {
        "name": folder.name,
        "architecture": "ensemble",
        "members": list(members),
        "fusion": {"shares": [share, round(1 - share, 1)], "split": "val", "val_volume_dice_mean": figures[share]},
        "sha256": None,
        "best_epoch": None,
        "threshold": 0.5,
        "threshold_split": None,
        "postprocessing": {"min_area": 0, "largest_only": False},
    }
    write_json(folder.config_path, config)
    network = load_model(folder)
    counted = {"parameters": count_parameters(network), "gflop": round(count_gflop(network, int(config["input_size"])), 4)}
    write_json(folder.config_path, config | counted)
    write_text(folder.card_path, model_card(folder))
