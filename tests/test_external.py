"""The external set: how it is read, measured and set beside the test set."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from resunet.cli.measuring import evaluate
from resunet.data.brats import FIELD_OF_VIEW, FRAME, records
from resunet.data.sources import find_slices
from resunet.errors import InputError
from resunet.evaluation.evaluation import EXTERNAL
from resunet.evaluation.external import (
    EXTERNAL_SET,
    TEST_SET,
    external_differences,
    external_finding,
    external_rows,
    external_table,
    large_enough,
)
from tests.test_compare import evaluation_of

SIDE = 240


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    """Three slices of two patients: bright discs in a skull-stripped brain, z-scored with the background below."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    image = np.full((3, SIDE, SIDE, 3), -0.7, np.float16)
    brain, tumour = rows**2 + columns**2 < 80**2, rows**2 + columns**2 < 20**2
    texture = np.random.default_rng(0).normal(1.0, 0.2, (3, SIDE, SIDE, 3))
    image[:, brain] = texture[:, brain]
    image[:, tumour] += 2
    label = np.zeros((3, SIDE, SIDE), np.uint8)
    label[:, tumour], label[2, tumour & (rows > 0)] = 2, 4
    np.savez(tmp_path / "slices.npz", image=image, label=label)
    table = pd.DataFrame({"patient": ["b", "a", "a"], "slice": [70, 90, 60], "tumour_pixels": label.any(0).sum()})
    table.to_csv(tmp_path / "slices.csv", index=False)
    return tmp_path


def test_slices_are_cut_to_the_field_of_view_and_scaled(brats: Path):
    first, second, third = records(brats)
    assert [(record.patient, record.number) for record in (first, second, third)] == [("a", 60), ("a", 90), ("b", 70)]
    scan = first.image_scan()
    assert scan.slices.shape == (1, FRAME, FRAME, 3) and scan.spacing == pytest.approx((0.8125, 0.8125))
    mask = first.mask()  # both labels count
    assert mask.sum() == pytest.approx(np.pi * (20 * FRAME / FIELD_OF_VIEW) ** 2, rel=0.02)
    rows, columns = np.nonzero(mask)
    assert rows.mean() == pytest.approx(FRAME / 2, abs=1) and columns.mean() == pytest.approx(FRAME / 2, abs=1)


def test_an_evaluation_on_another_data_set_is_called_external(brats: Path, tmp_path: Path):
    out = tmp_path / "out"
    summary, folder = evaluate("resunet", brats, "all", out)
    assert folder == out and (summary["protocol"], summary["n_patients"], summary["n_slices"]) == (EXTERNAL, 2, 3)
    assert summary["metrics"]["empty_slice_fp_rate"]["n"] == 0
    summary, _ = evaluate("resnet50", brats, "all", out)
    assert np.isnan(summary["metrics"]["auroc"]["value"]) and summary["metrics"]["sensitivity"]["n"] == 3


def test_volumes_beside_the_slices_of_a_known_set_do_not_take_their_place(brats: Path, tmp_path: Path):
    (brats / "volumes").mkdir()
    voxels = np.random.default_rng(0).normal(100, 10, (40, 40, 4)).astype(np.float32)
    for name, values in (("a_flair", voxels), ("a_seg", (voxels > 110).astype(np.uint8))):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), brats / "volumes" / f"{name}.nii.gz")
    summary, _ = evaluate("resunet", brats, "all", tmp_path / "out")
    assert (summary["protocol"], summary["n_slices"]) == (EXTERNAL, 3)


def test_files_that_do_not_belong_together_are_refused(brats: Path):
    table = pd.read_csv(brats / "slices.csv")
    table.head(2).to_csv(brats / "slices.csv", index=False)
    with pytest.raises(InputError, match="lists 2 slices, but slices.npz holds 3"):
        find_slices(brats, "all", "patient")
    table.drop(columns="slice").to_csv(brats / "slices.csv", index=False)
    with pytest.raises(InputError, match="columns patient and slice"):
        find_slices(brats, "all", "patient")
    (brats / "slices.npz").write_bytes(b"no arrays")
    table.to_csv(brats / "slices.csv", index=False)
    with pytest.raises(InputError, match="must hold the arrays image and label"):
        find_slices(brats, "all", "patient")


def patients(dice: dict[str, float], pixels: int = 1000) -> pd.DataFrame:
    """One slice per patient, of that Dice by false positives."""
    rows = [
        {"patient": name, "tumour_pixels": pixels, "tp": pixels, "fp": round(2 * pixels * (1 / value - 1)), "fn": 0}
        for name, value in dice.items()
    ]
    return pd.DataFrame(rows).assign(slice=1, tn=0, hd95=1.0, surface_dice=1.0, lesions=f"{pixels}+")


def test_sets_stand_side_by_side_and_small_tumours_apart():
    few = patients({"tiny": 0.1}, pixels=99)
    assert large_enough(pd.concat([few, few.assign(slice=2)])).shape[0] == 2  # together they are large enough
    test = {name: evaluation_of(patients({"p": 0.8, "q": 0.9}), name) for name in ("good", "poor")}
    external = {
        "good": evaluation_of(pd.concat([patients({"x": 0.9, "y": 0.8, "z": 0.85}), few]), "good"),
        "poor": evaluation_of(pd.concat([patients({"x": 0.6, "y": 0.5, "z": 0.7}), few]), "poor"),
    }
    table = external_table(test, external).set_index(["model", "set"])
    assert table.loc[("good", TEST_SET), "mean"] == pytest.approx(0.85, abs=1e-3)
    assert tuple(table.loc[("good", EXTERNAL_SET), ["n", "median"]]) == (3, pytest.approx(0.85, abs=1e-3))
    assert list(table.loc["poor", "n"]) == [2, 3, 4]
    paired = external_differences(external, "good")
    assert paired["n"].item() == 3 and paired["difference"].item() == pytest.approx(-0.25, abs=1e-3)
    sentence = external_finding(table.reset_index(), ["good"])
    assert "medians of 0.850 on the test set and 0.850 on external slices; the others of 0.850 and 0.600" in sentence
    rows = external_rows(table.reset_index(), paired, {"good": "Good", "poor": "Poor"}, ["good"])
    assert list(rows["Model"]) == ["Good", "Poor"] and list(rows["Encoder from"]) == ["ImageNet", "random"]
    assert list(rows.iloc[:, -1]) == ["", "0.250"]  # the smallest p that three patients allow
