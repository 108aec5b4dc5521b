"""What a history says, as lines: which quantities have a panel, their curves, smoothed, and the best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

CURVES = {
    "loss": ("train_loss", "val_loss"),
    "Dice": ("val_dice",),
    "IoU": ("val_iou",),
    "accuracy": ("val_accuracy",),
    "AUROC": ("val_auroc",),
    "learning rate": ("lr",),
}


class Curve(NamedTuple):
    """One line of the replay: which run and column, in which panel, one point per epoch."""

    run: str
    column: str
    panel: str
    points: npt.NDArray[np.float64]


def panels_of(histories: Mapping[str, pd.DataFrame]) -> list[str]:
    """The panels for which some run has a column."""
    columns = {column for table in histories.values() for column in table.columns}
    return [panel for panel, wanted in CURVES.items() if columns & set(wanted)]


def curves_of(histories: Mapping[str, pd.DataFrame], smoothing: float = 0.0) -> list[Curve]:
    """Every line there is; `smoothing` in [0, 1) is the weight of the past in a running average."""
    return [
        Curve(run, column, panel, smooth(table[column].to_numpy(float), smoothing))
        for panel in panels_of(histories)
        for run, table in histories.items()
        for column in CURVES[panel]
        if column in table
    ]


def smooth(values: npt.NDArray[np.float64], weight: float) -> npt.NDArray[np.float64]:
    """Exponential running average without the bias to its first value; weight 0 changes nothing."""
    return np.asarray(pd.Series(values).ewm(alpha=1 - weight).mean(), np.float64)


def best_epoch(history: pd.DataFrame) -> int:
    """The epoch whose weights are kept: highest validation Dice, or AUROC for a classifier."""
    column = "val_dice" if "val_dice" in history else "val_auroc"
    return int(history["epoch"].to_numpy()[history[column].to_numpy().argmax()])
