"""Whole volumes with true masks: which files are a case's, and its scores in millimetres and millilitres."""

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from resunet.data.archive import files_in
from resunet.data.samples import load_volumes
from resunet.errors import InputError
from resunet.evaluation.volume_scores import measure_cases, summarise_cases
from resunet.examination import measurable_volumes, nifti_below
from resunet.reading.scan import foreground
from tests.test_evaluate_screen import plain_text, upload, zipped
from tests.test_evaluate_screen import screen as screen  # a fixture
from tests.test_volumes import Bright, nifti

Command = Callable[..., subprocess.CompletedProcess[str]]


def measured(folder: Path) -> pd.DataFrame:
    return measure_cases(Bright(), measurable_volumes(nifti_below(folder))[0]).table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases of 1 x 1 x 3 mm: a bright box of 6 x 10 x 5 voxels in a grey head, and a head without a tumour."""
    root, affine = tmp_path / "cases", np.diag([1.0, 1.0, 3.0, 1.0])
    root.mkdir()
    voxels = np.zeros((60, 60, 20), np.float32)
    voxels[5:55, 5:55, 2:18] = np.random.default_rng(0).normal(100, 10, (50, 50, 16))
    nifti(root / "healthy_flair.nii.gz", voxels, affine)
    nifti(root / "healthy_seg.nii.gz", np.zeros(voxels.shape, np.uint8), affine)
    lesion = np.zeros(voxels.shape, bool)
    lesion[15:21, 15:25, 5:10] = True
    nifti(root / "ill_flair.nii.gz", voxels + 400 * lesion, affine)
    lesion[:, :, 9] = False  # the truth is a slice shorter
    nifti(root / "ill_seg.nii.gz", 4 * lesion.astype(np.uint8), affine)
    return root


def test_scores_of_a_case_by_hand(folder: Path):
    table = measured(folder).set_index("case")
    ill = table.loc["ill"]
    assert ill["dice"] == pytest.approx(2 * 4 / 9) and ill["hd95_mm"] == 3.0
    assert ill["true_ml"] == pytest.approx(6 * 10 * 4 * 3 / 1000) and ill["volume_error_ml"] == pytest.approx(0.18)
    outline = 6 * 10 * 5 - 4 * 8 * 3, 6 * 10 * 4 - 4 * 8 * 2  # voxels of both surfaces
    extra = 6 * 10  # voxels of the predicted slice that is too many, 3 mm from the truth; all others are within 2 mm
    assert ill["surface_dice_2mm"] == pytest.approx(1 - extra / sum(outline))
    summary = summarise_cases(table.reset_index(), "m", 0.5, 0.0)["metrics"]
    assert summary["volume_dice_mean"]["n"] == 1 and summary["volume_dice_mean"]["value"] == pytest.approx(ill["dice"])
    assert summary["absolute_volume_error_ml"]["n"] == 2 and summary["hd95_mm"]["n"] == 1


def test_slices_are_no_volumes_and_a_mask_must_fit(folder: Path, tmp_path: Path):
    (tmp_path / "flat").mkdir()
    nifti(tmp_path / "flat" / "a.nii", np.ones((20, 20, 1), np.uint8), np.eye(4))
    nifti(tmp_path / "flat" / "a_mask.nii", np.ones((20, 20, 1), np.uint8), np.eye(4))
    assert measurable_volumes(nifti_below(tmp_path / "flat")) == ([], [])
    nifti(folder / "ill_seg.nii.gz", np.ones((60, 60, 19), np.uint8), np.diag([1.0, 1.0, 3.0, 1.0]))
    cases, problems = measure_cases(Bright(), measurable_volumes(nifti_below(folder))[0])
    assert list(cases["case"]) == ["healthy"]
    assert problems == {"ill": "ill_seg.nii.gz lies on another grid than the FLAIR; give a mask of the same size and place."}


def test_a_zip_file_holds_the_same_cases(folder: Path):
    content = zipped({f"top/{file.name}": file.read_bytes() for file in folder.iterdir()})
    cases, notes = measurable_volumes(files_in(content))
    assert [case.name for case in cases] == ["healthy", "ill"] and notes == []
    from_archive = measure_cases(Bright(), cases).table
    pd.testing.assert_frame_equal(from_archive.drop(columns="seconds"), measured(folder).drop(columns="seconds"))


def test_images_without_mask_and_masks_without_image_are_named(folder: Path):
    (folder / "ill_seg.nii.gz").rename(folder / "ill_segm.nii.gz")
    nifti(folder / "lost_seg.nii.gz", np.ones((20, 20, 20), np.uint8), np.eye(4))
    cases, notes = measurable_volumes(nifti_below(folder))
    assert [case.name for case in cases] == ["healthy"]
    assert notes == [
        "Left out, without a mask: ill_flair, ill_segm.",
        "Left out, a mask without an image: lost_seg.",
    ]


@pytest.fixture
def examination(tmp_path: Path) -> Path:
    """The middle of the bundled examination with a tumour, as files."""
    (tmp_path / "mine").mkdir()
    for name, content in load_volumes()["tumour"].items():
        volume = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
        middle = volume.shape[2] // 2
        volume.slicer[:, :, middle - 6 : middle + 6].to_filename(tmp_path / "mine" / name)
    return tmp_path / "mine"


def test_the_command_line_and_the_screen_agree(examination: Path, command: Command, screen: AppTest, tmp_path: Path):
    arguments = ["evaluate", "resunet_lite_3d", "--data", examination, "--split", "all"]
    refused = command(*arguments)
    assert refused.returncode == 2 and "add --out DIR" in refused.stderr
    done = command(*arguments, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "cases.csv")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["metrics"]["volume_dice_mean"]["value"] == pytest.approx(table["dice"][0]) and table["dice"][0] > 0.9
    app = upload(screen, zipped({file.name: file.read_bytes() for file in examination.iterdir()}))
    app.selectbox(key="evaluate_model").set_value("resunet_lite_3d").run()
    app.button(key="evaluate_start").click().run()
    assert not app.exception and f"{table['dice'][0]:.3f}" in plain_text(app.success[0].value)
    shown = app.dataframe[0].value
    pd.testing.assert_frame_equal(
        shown[["dice", "hd95_mm", "volume_ml"]], table[["dice", "hd95_mm", "volume_ml"]], rtol=1e-5, check_dtype=False
    )


@pytest.mark.parametrize(
    "stored", [np.diag([-1.0, -1.0, 3.0, 1.0]), np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])]
)
def test_a_mask_in_another_storage_order_is_at_the_same_place(folder: Path, stored: np.ndarray):
    before = measured(folder).set_index("case").loc["ill"]
    image = nibabel.load(folder / "ill_seg.nii.gz")
    turned = image.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), nibabel.io_orientation(stored))
    )
    moved = turned.affine.copy()
    moved[:3, 3] += 0.02
    nibabel.Nifti1Image(np.asarray(turned.dataobj), moved).to_filename(folder / "ill_seg.nii.gz")
    pd.testing.assert_series_equal(measured(folder).set_index("case").loc["ill"].drop("seconds"), before.drop("seconds"))


def test_a_tumour_that_is_missed_has_surface_dice_0(folder: Path):
    voxels = np.asarray(nibabel.load(folder / "healthy_flair.nii.gz").dataobj)
    lesion = np.zeros(voxels.shape, np.uint8)
    lesion[20:30, 20:30, 5:9] = 1
    nifti(folder / "healthy_seg.nii.gz", lesion, np.diag([1.0, 1.0, 3.0, 1.0]))
    table = measured(folder).set_index("case")
    missed = table.loc["healthy"]
    assert missed["dice"] == missed["surface_dice_2mm"] == 0 and np.isnan(missed["hd95_mm"])
    figure = summarise_cases(table.reset_index(), "m", 0.5, 0.0)["metrics"]["surface_dice_2mm"]
    assert figure["n"] == 2 and figure["value"] == pytest.approx(table["surface_dice_2mm"].mean())


def test_shares_count_from_one_half_and_labels_whatever_their_scale():
    rng, tumour = np.random.default_rng(0), np.zeros((8, 30, 30), bool)
    tumour[2:5, 10:20, 10:20] = True
    soft = np.clip(tumour + 0.3 * rng.random(tumour.shape), 0, 1)
    for values in (
        tumour + 1e-6,
        soft,
        100 * soft,
        255 * soft,
        tumour * rng.choice([85, 170, 255], tumour.shape),
        tumour * 4,
        tumour * 255,
    ):
        np.testing.assert_array_equal(foreground(values, "m"), tumour)
    assert not foreground(np.full((20, 20), 1e-6), "m").any()
    with pytest.raises(InputError, match="m holds negative numbers"):
        foreground(tumour - 1.0, "m")
