"""The CNN + U-Net ensemble: a folder that names its members and holds the shares of their probabilities.

In the style of Ali, Gilani, Waris, Zafar, Jamil (IEEE Access 2020), who publish no code. Faithful: both networks are trained by
themselves and their outputs fused. Our choice: one share per member, learned on validation, instead of their rules by class.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from resunet.catalogue import find_model
from resunet.data.sources import open_splits
from resunet.evaluation.tuning import mean_volume_dice, pixel_counts, stage_2_outputs
from resunet.inference.stages import Stage2
from resunet.model_folder import CleanUp, Fusion, ModelFolder

ENSEMBLE, DISPLAY_NAME = "cnn_unet", "CNN + U-Net"
MEMBERS = ("cnn", "unet")
SHARES = tuple(round(0.1 * step, 1) for step in range(1, 10))  # of the first member


def write_ensemble(folder: ModelFolder, data: Path | None, members: tuple[str, str] = MEMBERS) -> None:
    """Learn the fusion of two members on the validation patients and write config.json.

    The share of the first member is the one of highest mean volume Dice at 0.5; both members always count. Raises
    InputError when a member or the data is missing.
    """
    configs = [find_model(name).config() for name in members]
    records = open_splits(data, configs[0].split_scheme).val
    truths = [record.mask() for record in records]
    patients = np.array([record.patient for record in records])
    first, second = (stage_2_outputs(Stage2(find_model(name)), records) for name in members)

    def figure(share: float) -> float:
        """Mean volume Dice on validation with that share of the first member."""
        maps = (share * one.astype(np.float32) + (1 - share) * other for one, other in zip(first, second, strict=True))
        return mean_volume_dice(patients, pixel_counts(maps, truths, 0.5, CleanUp()))

    figures = {share: figure(share) for share in SHARES}
    share = max(figures, key=lambda value: (round(figures[value], 4), -abs(value - 0.5)))
    nothing_chosen: dict[str, Any] = {"threshold": 0.5, "threshold_split": None, "threshold_figures": {}}
    not_trained: dict[str, Any] = {"recipe": None, "best_epoch": None, "validation": {}, "optimiser": "", "sha256": {}}
    config = replace(
        configs[0],
        name=folder.name,
        display_name=DISPLAY_NAME,
        architecture="ensemble",
        fusion=Fusion(members, (share, round(1 - share, 1)), "val", figures[share]),
        parameters=sum(config.parameters for config in configs),
        gflop=round(sum(config.gflop for config in configs), 4),
        postprocessing=CleanUp(),
        gate=None,
        initialisation="",
        **nothing_chosen,
        **not_trained,
    )
    folder.write_config(config)
