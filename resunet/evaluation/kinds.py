"""Which kind of tumour: figures, confusion matrix, and everything by tumour and plane, from the rows of slices.csv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from resunet.evaluation.aggregate import calibration_error, patient_figure
from resunet.evaluation.overlap import Array, FloatArray, dice

PREFIX = "p_kind_"  # of the columns that hold the probability of each kind
EVERYTHING = "All slices"


def kind_columns(classes: Sequence[str], probabilities: npt.NDArray[np.float32]) -> dict[str, float]:
    """The columns of slices.csv for the probability (K,) of each of `classes`."""
    return {f"{PREFIX}{kind}": round(float(share), 6) for kind, share in zip(classes, probabilities, strict=True)}


def tells_kinds(slices: pd.DataFrame) -> bool:
    """Whether the rows hold true kinds and the probability of each."""
    return "tumour" in slices and any(name.startswith(PREFIX) for name in slices.columns)


def probabilities(slices: pd.DataFrame) -> tuple[list[str], FloatArray]:
    """The kinds in the columns' order, and their probabilities (N, K)."""
    columns = [name for name in slices.columns if name.startswith(PREFIX)]
    return [name.removeprefix(PREFIX) for name in columns], slices[columns].to_numpy(float)


def truth_and_likeliest(slices: pd.DataFrame) -> tuple[Array, Array]:
    """The true kind and the likeliest one of each row, as words."""
    kinds, shares = probabilities(slices)
    return slices["tumour"].to_numpy(str), np.array(kinds)[shares.argmax(axis=1)]


def by_patient(slices: pd.DataFrame) -> pd.DataFrame:
    """One row a patient: patient, tumour, and the mean over the slices of each kind's probability."""
    columns = [name for name in slices.columns if name.startswith(PREFIX)]
    return slices.groupby("patient").agg({"tumour": "first", **dict.fromkeys(columns, "mean")}).reset_index()


def summarise_kinds(slices: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """kind_accuracy, kind_patient_accuracy, kind_sensitivity_mean and kind_ece, with intervals that resample patients."""
    figures = {"kind_accuracy": _accuracy(slices, "slice"), "kind_patient_accuracy": _accuracy(by_patient(slices), "patient")}
    truth, likeliest = truth_and_likeliest(slices)
    weight = 1 / pd.Series(truth).map(pd.Series(truth).value_counts()).to_numpy(float)
    right = truth == likeliest
    patients = slices["patient"].to_numpy()
    figures["kind_sensitivity_mean"] = patient_figure(right * weight, weight, patients, len(slices), "slice")
    shares = probabilities(slices)[1].max(axis=1)
    figures["kind_ece"] = {
        "value": float(calibration_error(right, shares, np.ones((1, len(right))))[0]),
        "low": float("nan"),
        "high": float("nan"),
        "n": len(slices),
        "unit": "slice",
    }
    return figures


def _accuracy(rows: pd.DataFrame, unit: str) -> dict[str, Any]:
    truth, likeliest = truth_and_likeliest(rows)
    return patient_figure(truth == likeliest, np.ones(len(rows)), rows["patient"].to_numpy(), len(rows), unit)


def confusion(rows: pd.DataFrame) -> pd.DataFrame:
    """Slices, or patients (`by_patient`), by true kind (rows) and likeliest kind (columns), both in the columns' order."""
    kinds, _ = probabilities(rows)
    truth, likeliest = truth_and_likeliest(rows)
    return pd.crosstab(truth, likeliest).reindex(index=kinds, columns=kinds, fill_value=0)


def by_tumour_and_plane(slices: pd.DataFrame) -> pd.DataFrame:
    """Dice per slice and how often the kind is right, for all slices, each tumour, each plane and each tumour in each plane.

    Returns:
        group, patients, slices, dice with dice_low and dice_high (95 %, patients resampled), dice_median, missed (share of
        slices with Dice under 0.1), accuracy with accuracy_low and accuracy_high where kinds are told.
    """
    return pd.DataFrame([_group_row(name, rows) for name, rows in _groups(slices)])


def _groups(slices: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield EVERYTHING, slices
    for column in ("tumour", "plane"):
        for name, rows in slices.groupby(column, sort=True):
            yield str(name), rows
    for (tumour, plane), rows in slices.groupby(["tumour", "plane"], sort=True):
        yield f"{tumour}, {plane}", rows


def _group_row(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    tp, fp, fn = (rows[column].to_numpy() for column in ("tp", "fp", "fn"))
    values = dice(tp, fp, fn)
    patients = rows["patient"].to_numpy()
    figure = patient_figure(values, np.ones(len(rows)), patients, len(rows), "slice")
    row: dict[str, Any] = {
        "group": name,
        "patients": int(rows["patient"].nunique()),
        "slices": len(rows),
        "dice": figure["value"],
        "dice_low": figure["low"],
        "dice_high": figure["high"],
        "dice_median": float(np.median(values)),
        "missed": float(np.mean(values < 0.1)),
    }
    if tells_kinds(rows):
        accuracy = _accuracy(rows, "slice")
        row |= {"accuracy": accuracy["value"], "accuracy_low": accuracy["low"], "accuracy_high": accuracy["high"]}
    return row
