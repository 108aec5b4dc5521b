"""Other tumours: the layouts in which people have the set, its split, and a network that outlines and tells the kind."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resunet.cli.commands import export, tune
from resunet.cli.measuring import evaluate
from resunet.data import lgg, t1ce
from resunet.data.sources import all_slices, find_slices, open_splits
from resunet.errors import InputError
from resunet.model_folder import ModelFolder
from resunet.training.loop import train
from resunet.training.recipes import Phase, find_recipe
from tests.conftest import assert_rederived

SIDE = 64


def numbers_of(split: str, tumour: str, count: int) -> list[int]:
    """The first slices of a tumour in a split, no two of one patient."""
    rows = t1ce.table().query("split == @split and tumour == @tumour")
    return rows.reset_index().drop_duplicates("patient")["number"].tolist()[:count]


CHOSEN = [
    number
    for tumour in t1ce.TUMOURS
    for split, count in (("train", 3), ("val", 2), ("test", 2))
    for number in numbers_of(split, tumour, count)
]


def picture(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A head with a bright blob, and the blob: where it lies depends on the tumour."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices((SIDE, SIDE))
    head = (rows - 32) ** 2 + (columns - 32) ** 2 < 28**2
    left = 20 + 10 * t1ce.TUMOURS.index(t1ce.table().loc[number, "tumour"])
    blob = (rows - 30) ** 2 + (columns - left) ** 2 < 36
    return (head * rng.normal(90, 8, (SIDE, SIDE)) + 90 * blob).clip(0, 255).astype(np.uint8), blob


def write_mat(path: Path, image: np.ndarray, mask: np.ndarray, label: int, patient: str) -> None:
    """A slice as figshare has it: MATLAB 7.3, matrices column by column, text as codes."""
    with h5py.File(path, "w") as file:
        group = file.create_group("cjdata")
        group["image"], group["tumorMask"] = image.astype(np.int16).T, mask.astype(np.uint8).T
        group["label"] = np.array([[float(label)]])
        group["PID"] = np.array([[ord(letter)] for letter in patient], np.uint16)
        group["tumorBorder"] = np.array([[1.0, 2.0, 3.0, 4.0]])


@pytest.fixture(scope="module")
def pngs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kaggle's layout: images/<number>.png and masks/<number>.png, without patients."""
    root = tmp_path_factory.mktemp("kaggle_t1ce")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in CHOSEN:
        image, mask = picture(number)
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / f"{number}.png")
    return root


def test_the_table_keeps_patients_apart_and_tests_fold_0():
    table = t1ce.table().reset_index()
    assert len(table) == 2578 and table["number"].is_unique
    patients = table.groupby("patient")
    assert len(patients) == 180
    assert len(table[["patient", "tumour", "fold", "split"]].drop_duplicates()) == 180
    assert ((table["split"] == "test") == (table["fold"] == 0)).all()
    drawn = table[table["split"] == "val"].groupby("tumour")["patient"].nunique()
    assert drawn.to_dict() == dict.fromkeys(t1ce.TUMOURS, 6)


def test_every_patient_is_tested_in_one_fold():
    tested: list[str] = []
    for fold in range(5):
        patients = t1ce.patient_table(f"fold{fold}")
        assert (patients["split"] == "val").sum() == t1ce.VALIDATION_PATIENTS
        tested += patients.loc[patients["split"] == "test", "patient"].tolist()
    assert sorted(tested) == sorted(set(t1ce.table()["patient"]))


def test_mat_files_and_pngs_are_the_same_slices(pngs: Path, tmp_path: Path):
    for number in CHOSEN:
        image, mask = picture(number)
        row = t1ce.table().loc[number]
        write_mat(tmp_path / f"{number}.mat", image, mask, t1ce.TUMOURS.index(row["tumour"]) + 1, row["patient"])
    from_mat, from_png = (t1ce.records(root) for root in (tmp_path, pngs))
    assert [(each.patient, each.number, each.tumour, each.plane) for each in from_mat] == [
        (each.patient, each.number, each.tumour, each.plane) for each in from_png
    ]
    for ours, theirs in zip(from_mat, from_png, strict=True):
        np.testing.assert_array_equal(ours.image(), theirs.image())
        np.testing.assert_array_equal(ours.mask(), theirs.mask())
    assert all_slices(tmp_path)[1] is t1ce.DESCRIPTION  # recognised without being told


def test_a_mat_file_of_somebody_else_states_its_patient_and_tumour(tmp_path: Path):
    image, mask = picture(CHOSEN[0])
    write_mat(tmp_path / "5001.mat", image, mask, 3, "MR999999")
    (record,) = t1ce.records(tmp_path)
    assert (record.patient, record.tumour, record.plane) == ("MR999999", "pituitary tumour", "")
    assert open_splits(tmp_path).test == []  # nothing is known about which side of the split it belongs to


def test_broken_files_get_one_sentence(pngs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "1.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    (record,) = t1ce.records(tmp_path)
    with pytest.raises(InputError, match=r"1.mat is not a .mat file of this set: cjdata with image, tumorMask"):
        record.image()
    with pytest.raises(InputError, match=r"holds no slice <number>.mat, images/<number>.png"):
        t1ce.records(pngs / "masks")
    shutil.copytree(pngs / "images", tmp_path / "images")
    with pytest.raises(InputError, match=r"\d+.png has no mask; .*masks/\d+.png is expected"):
        t1ce.records(tmp_path)
    monkeypatch.delenv("T1CE_DATA", raising=False)
    with pytest.raises(InputError, match="No T1-CE data set given. Download the 'brain tumor dataset'"):
        t1ce.find_root()
    with pytest.raises(InputError, match="does not exist"):
        t1ce.find_root(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def run(pngs: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A small run of the recipe that outlines and tells the kind, exported, tuned and measured."""
    path = tmp_path_factory.mktemp("t1ce") / "run"
    recipe = find_recipe("resunet_lite_t1ce", phases=(Phase(2, 64, crop=False),), samples_per_epoch=32, batch_size=8)
    folder = train(recipe, pngs, path)
    export(str(path))
    tune(str(path), pngs)
    evaluate(str(path), pngs, "test")
    return folder


@pytest.mark.slow
def test_the_configuration_says_what_the_network_knows(run: ModelFolder):
    config = run.config()
    assert config.channels == 1 and config.classes == t1ce.TUMOURS and config.data_set == t1ce.DESCRIPTION
    assert config.slices == {"train": 9, "val": 6} and config.calibration.scale > 0
    history = run.history()
    assert history is not None and len(history) == 2 and history["val_accuracy"].between(0, 1).all()


@pytest.mark.slow
def test_slices_tell_tumour_plane_and_kinds_and_the_summary_follows(run: ModelFolder):
    slices = run.slices("test")
    assert slices is not None and len(slices) == 6
    assert set(slices["tumour"]) == set(t1ce.TUMOURS) and slices["plane"].isin(t1ce.DESCRIPTION.planes).all()
    kinds = slices[[f"p_kind_{kind}" for kind in t1ce.TUMOURS]]
    np.testing.assert_allclose(kinds.sum(axis=1), 1, atol=1e-5)
    assert {"kind_accuracy", "kind_patient_accuracy", "tumour_slice_dice"} <= run.summary("test")["metrics"].keys()
    assert_rederived(run, "test")


@pytest.mark.slow
def test_the_classifier_tells_kinds_too(pngs: Path, tmp_path: Path):
    recipe = find_recipe("resnet50_t1ce", phases=(Phase(1, 64, crop=False),), samples_per_epoch=8, batch_size=4)
    folder = train(recipe, pngs, tmp_path / "run")
    export(str(folder.path))
    assert tune(str(folder.path), pngs).keys() == {"calibration"}
    summary, _ = evaluate(str(folder.path), pngs, "test")
    assert summary["metrics"]["kind_accuracy"]["n"] == 6
    assert_rederived(folder, "test")


@pytest.mark.slow
def test_its_false_alarms_are_measured_on_slices_without_a_tumour(run: ModelFolder, kaggle: Path):
    summary, out = evaluate(str(run.path), kaggle, "all")
    assert out.name == "post_contrast" and summary["n_tumour_slices"] == 0 and summary["n_slices"] == 8
    slices = pd.read_csv(out / "slices.csv")
    first = next(record for record in lgg.records(lgg.find_root(kaggle)) if record.patient == slices["patient"][0])
    assert slices["tn"][0] + slices["fp"][0] == first.mask().size


def test_random_slices_put_patients_on_both_sides(pngs: Path):
    splits = open_splits(pngs, "slice", "T1CE")
    assert len(splits.train) + len(splits.val) + len(splits.test) == len(CHOSEN)
    slices, description = find_slices(pngs, "val", "patient", "T1CE")
    assert len(slices) == 6 and description is t1ce.DESCRIPTION
    assert replace(splits, people_without_tumour={}).seen("train") == splits.train
