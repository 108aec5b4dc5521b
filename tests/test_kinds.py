"""The kind of tumour: figures by hand, the confusion matrix, tables by tumour and plane."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from resunet.evaluation.kinds import (
    by_patient,
    by_tumour_and_plane,
    confusion,
    kind_columns,
    summarise_kinds,
    tells_kinds,
    truth_and_likeliest,
)

KINDS = ("glioma", "pituitary tumour")


def row(patient: str, tumour: str, p_glioma: float, tp: int = 8, fp: int = 2, fn: int = 2, plane: str = "axial") -> dict:
    shares = kind_columns(KINDS, np.array([p_glioma, 1 - p_glioma], np.float32))
    return {"patient": patient, "tumour": tumour, "plane": plane, "tp": tp, "fp": fp, "fn": fn, **shares}


SLICES = pd.DataFrame(
    [
        row("a", "glioma", 0.9),
        row("a", "glioma", 0.4, plane="sagittal"),
        row("b", "pituitary tumour", 0.6, tp=0),
        row("b", "pituitary tumour", 0.1),
        row("c", "pituitary tumour", 0.3, tp=16, fp=0, fn=0),
    ]
)


def test_figures_by_hand():
    figures = summarise_kinds(SLICES)
    assert figures["kind_accuracy"]["value"] == pytest.approx(3 / 5)
    # By patient, a has (0.9 + 0.4) / 2 = 0.65 and b (0.6 + 0.1) / 2 = 0.35: all three are right.
    assert figures["kind_patient_accuracy"]["value"] == 1.0 and figures["kind_patient_accuracy"]["n"] == 3
    assert figures["kind_sensitivity_mean"]["value"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    # Bins: 0.6 twice, wrong; 0.7, 0.9 twice, right.
    assert figures["kind_ece"]["value"] == pytest.approx((2 * 0.6 + 0.3 + 2 * 0.1) / 5)
    assert all(figure["low"] <= figure["value"] <= figure["high"] for name, figure in figures.items() if name != "kind_ece")


def test_parity_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.choice(KINDS, 200)
    table = pd.DataFrame([row(f"p{number % 20}", kind, float(rng.random())) for number, kind in enumerate(truth)])
    true, likeliest = truth_and_likeliest(table)
    figures = summarise_kinds(table)
    assert figures["kind_accuracy"]["value"] == pytest.approx(accuracy_score(true, likeliest))
    assert figures["kind_sensitivity_mean"]["value"] == pytest.approx(balanced_accuracy_score(true, likeliest))
    np.testing.assert_array_equal(confusion(table), confusion_matrix(true, likeliest, labels=list(KINDS)))


def test_the_confusion_matrix_keeps_kinds_that_nothing_was_called():
    assert confusion(SLICES[SLICES["patient"] == "c"]).to_numpy().tolist() == [[0, 0], [0, 1]]
    assert confusion(by_patient(SLICES)).to_numpy().tolist() == [[1, 0], [0, 2]]


def test_by_tumour_and_plane():
    table = by_tumour_and_plane(SLICES).set_index("group")
    assert list(table.index) == [
        "All slices", "glioma", "pituitary tumour", "axial", "sagittal",
        "glioma, axial", "glioma, sagittal", "pituitary tumour, axial",
    ]  # fmt: skip
    assert table.loc["All slices", "dice"] == pytest.approx((0.8 + 0.8 + 0 + 0.8 + 1) / 5)
    assert table.loc["pituitary tumour", "missed"] == pytest.approx(1 / 3)
    assert table.loc["pituitary tumour", ["patients", "slices"]].tolist() == [2, 3]
    assert table.loc["axial", "accuracy"] == pytest.approx(3 / 4)


def test_rows_without_kinds_tell_none():
    assert tells_kinds(SLICES) and not tells_kinds(SLICES.drop(columns=["tumour"]))
    assert "accuracy" not in by_tumour_and_plane(SLICES[["patient", "tumour", "plane", "tp", "fp", "fn"]])
