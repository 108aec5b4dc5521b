"""Cases and volumes: sequences brought onto one grid, turned for the networks, and masks turned back voxel for voxel."""

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from resunet.catalogue import VOLUME_MODEL, find_model
from resunet.data.description import DataSetDescription
from resunet.data.samples import load_samples
from resunet.data.slices import by_patient
from resunet.data.sources import all_slices, open_splits
from resunet.data.transforms import normalise
from resunet.errors import InputError
from resunet.examination import sort_examinations
from resunet.inference.framing import CUT, FILLED, Window, window_of
from resunet.inference.predict_files import Choices, predict_case
from resunet.inference.predict_volumes import segment_case
from resunet.inference.stages import ProbabilityMap, Stage2
from resunet.inference.volume_pipeline import neighbour_step, predict_volume
from resunet.inference.windows import WINDOW
from resunet.model_folder import CleanUp
from resunet.reading.channels import assemble
from resunet.reading.formats.nifti import nifti_on_grid
from resunet.reading.readers import read_volume
from resunet.reading.scan import NO_SPACING, ONE_CHANNEL
from resunet.reading.stored_file import StoredFile
from resunet.reading.volume_scan import Volume
from tests.conftest import bundled

LARGE = next(sample for sample in load_samples() if sample.name == "large_1")
ORIENTATIONS = [
    (axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]  # 48


def nifti(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None, units: str = "mm") -> Path:
    image = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units(units)
    nibabel.save(image, path)
    return path


def turned(volume: np.ndarray, axes: tuple[int, ...], signs: tuple[int, ...], sides: tuple[float, ...], tilt: float = 0.0):
    """A volume in right, front, head order, stored along other axes, and the affine that says so; `tilt` in radians."""
    stored = np.ascontiguousarray(volume.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)])
    affine = np.eye(4)
    affine[:3, :3] = 0
    for place, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, place] = sign * sides[axis]
        affine[axis, 3] += 0 if sign > 0 else sides[axis] * (volume.shape[axis] - 1)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    return stored, turn @ affine


class Bright:
    """A pipeline whose stage 2 outlines what is bright in FLAIR, and whose stage 1 is not there."""

    def __init__(self) -> None:
        self.stage_1, self.gate, self.threshold, self.clean_up, self.stage_1_threshold = None, 0.0, 0.5, CleanUp(), np.inf
        config = SimpleNamespace(sha256={}, data_set=DataSetDescription("bright"))
        self.stage_2 = SimpleNamespace(volume=self.volume, config=config)

    def fitting(self, notes: Iterable[str]) -> tuple[str, ...]:
        return tuple(notes)

    def volume(self, images: Iterable[np.ndarray], count: int, tta: bool) -> Iterator[ProbabilityMap]:
        for image in images:
            side = max(image.shape[:2])
            square = np.full((side, side), -9, np.float32)
            top, left = ((side - length) // 2 for length in image.shape[:2])
            square[top : top + image.shape[0], left : left + image.shape[1]] = image[..., 1]
            yield ProbabilityMap((square > 5).astype(np.float32))


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A head of noise with a lop-sided bright lesion, in right, front, head order, and the lesion."""
    rng = np.random.default_rng(0)
    right, front, head = np.mgrid[:44, :56, :20]
    inside = ((right - 21) / 20) ** 2 + ((front - 27) / 26) ** 2 < 1
    lesion = (right > 26) & (right < 33) & (front > 30) & (front < 41) & (head > 3) & (head < 9)
    return np.where(inside, rng.normal(100, 10, inside.shape), 0).astype(np.float32) + 400 * lesion, lesion


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_the_mask_lies_on_its_voxels_in_every_orientation(
    axes: tuple[int, ...], signs: tuple[int, ...], scene: tuple[np.ndarray, np.ndarray], tmp_path: Path
):
    voxels, lesion = scene
    for tilt, sides in ((0.0, (1.0, 1.0, 3.0)), (0.2, (1.0, 1.0, 5.0))):
        stored, affine = turned(voxels, axes, signs, sides, tilt)
        truth, _ = turned(lesion, axes, signs, sides)
        volume = read_volume(nifti(tmp_path / "a_flair.nii.gz", stored, affine))
        assert volume.axial_sides == pytest.approx((sides[2], sides[1], sides[0]))
        # Front up, the patient's right on the left.
        np.testing.assert_allclose(volume.axial()[..., 0], voxels[::-1, ::-1].transpose(2, 1, 0), rtol=1e-6)
        prediction = predict_volume(Bright(), assemble("a", {"flair": volume}))
        assert np.array_equal(prediction.mask, truth)
        (tmp_path / "a_mask.nii.gz").write_bytes(nifti_on_grid(volume, prediction.mask.astype(np.uint8)))
        written = nibabel.load(tmp_path / "a_mask.nii.gz")
        assert written.shape == stored.shape and np.array_equal(
            written.affine, nibabel.load(tmp_path / "a_flair.nii.gz").affine
        )


@pytest.mark.parametrize("sides", [(2.0, 1.0, 3.0), (1.0, 2.5, 1.0), (0.5, 0.5, 0.5)])
def test_pixels_that_are_not_square_go_there_and_back(sides: tuple[float, float, float], scene: tuple[np.ndarray, np.ndarray]):
    voxels, lesion = scene
    stored, affine = turned(voxels, (2, 0, 1), (1, -1, 1), sides)
    truth, _ = turned(lesion, (2, 0, 1), (1, -1, 1), sides)
    volume = Volume("a", stored[..., None], affine, tuple(np.linalg.norm(affine[:3, :3], axis=0)))
    mask = predict_volume(Bright(), assemble("a", {"flair": volume})).mask
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.85
    places = [np.argwhere(each).mean(axis=0) for each in (mask, truth)]
    np.testing.assert_allclose(*places, atol=0.6)


@pytest.mark.parametrize("depth", [1, 2, 31, 300])
def test_any_number_of_slices(depth: int, scene: tuple[np.ndarray, np.ndarray]):
    voxels = np.repeat(scene[0][:, :, 5:6], depth, axis=2)
    volume = Volume("a", voxels[..., None], np.diag([1.0, 1.0, 0.8, 1.0]), (1.0, 1.0, 0.8))
    seen: list[int] = []
    prediction = predict_volume(Bright(), assemble("a", {"flair": volume}), on_progress=seen.append)
    assert seen == list(range(1, depth + 1))
    assert (prediction.mask.sum(axis=(0, 1)) == prediction.mask[..., 0].sum()).all() and prediction.mask.any()


def test_neighbours_are_as_far_apart_as_in_training():
    assert [neighbour_step(distance) for distance in (None, 0.0, 0.5, 1.0, 1.5, 3.0, 6.0)] == [1, 1, 8, 4, 3, 1, 1]


def test_small_heads_fill_the_frame_and_others_are_left_alone():
    head = np.zeros((4, 200, 240), np.float32)
    head[:, 60:160, 80:140] = 1  # 100 rows, 60 columns
    window = window_of(head)
    side = round(100 / FILLED)
    assert (window.bottom - window.top, window.right - window.left) == (side, side)
    assert abs((window.top + window.bottom) / 2 - 110) <= 1 and abs((window.left + window.right) / 2 - 110) <= 1
    assert window_of(np.ones((2, 50, 50), np.float32)) == Window(0, 50, 0, 50)
    large = np.zeros((4, 200, 200), np.float32)
    large[:, 20:180, 40:160] = 1
    assert window_of(large) == Window(0, 200, 0, 200)
    # Rows twice as far apart as columns: 90 rows of 120 are 180 of 240 columns.
    tall = np.zeros((4, 120, 240), np.float32)
    tall[:, 10:101, 100:140] = 1
    assert window_of(tall, aspect=2.0) == Window(0, 120, 0, 240)


def smooth(shape: tuple[int, int, int], sides: tuple[float, float, float]) -> np.ndarray:
    """A function of the place in millimetres, sampled on a grid."""
    places = np.meshgrid(*(np.arange(count) * side for count, side in zip(shape, sides, strict=True)), indexing="ij")
    return (100 + places[0] + 2 * places[1] - 3 * places[2]).astype(np.float32)


def test_other_grids_are_resampled_onto_flairs_and_missing_ones_replaced():
    flair = Volume("f", smooth((20, 20, 10), (1, 1, 2))[..., None], np.diag([1.0, 1.0, 2.0, 1.0]), (1.0, 1.0, 2.0))
    coarse = Volume("t", smooth((12, 12, 20), (2, 2, 1))[..., None], np.diag([2.0, 2.0, 1.0, 1.0]), (2.0, 2.0, 1.0))
    case = assemble("c", {"flair": flair, "post": coarse})
    assert case.voxels.shape == (20, 20, 10, 3) and np.array_equal(case.affine, flair.affine)
    np.testing.assert_allclose(case.voxels[..., 2], flair.voxels[..., 0], atol=1e-3)
    assert np.array_equal(case.voxels[..., 0], flair.voxels[..., 0])
    assert case.notes == ("t was resampled onto the grid of f.", "FLAIR stands in for the pre-contrast T1, which is missing.")
    assert assemble("c", {"flair": flair}).notes == (ONE_CHANNEL,)


def test_a_sequence_that_covers_a_part_of_flair_says_which_and_flair_stands_in():
    flair = Volume("f", smooth((20, 20, 10), (1, 1, 2))[..., None], np.diag([1.0, 1.0, 2.0, 1.0]), (1.0, 1.0, 2.0))
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[2, 3] = 6  # from the fourth slice on
    part = Volume("t", 1000 + np.zeros((20, 20, 4, 1), np.float32), affine, (1.0, 1.0, 2.0))
    case = assemble("c", {"flair": flair, "post": part})
    assert "t covers slices 4 to 7 of 10 alone; FLAIR stands in for it in the others." in case.notes
    assert (case.voxels[:, :, 3:7, 2] == 1000).all()
    assert np.array_equal(case.voxels[:, :, :3, 2], flair.voxels[:, :, :3, 0])
    narrow = Volume("n", 1000 + np.zeros((10, 20, 10, 1), np.float32), np.diag([1.0, 1.0, 2.0, 1.0]), (1.0, 1.0, 2.0))
    assert "n covers 50% of what f shows; the rest of it is dark." in assemble("c", {"flair": flair, "post": narrow}).notes


def test_a_small_head_in_a_large_picture_is_outlined_as_in_a_frame_of_its_size():
    sample = next(sample for sample in load_samples() if sample.name == "small_2")
    far = np.zeros((512, 512, 3), np.uint8)
    far[128:384, 128:384] = sample.image
    pipeline = bundled()
    near_mask, prediction = pipeline.predict(sample.image).mask, pipeline.predict(far)
    assert CUT in prediction.notes and CUT not in pipeline.predict(sample.image).notes
    overlap = 2 * (near_mask & prediction.mask[128:384, 128:384]).sum() / (near_mask.sum() + prediction.mask.sum())
    assert overlap > 0.85


def test_what_is_no_case_gets_a_sentence(tmp_path: Path):
    flair = Volume("f", smooth((20, 20, 10), (1, 1, 1))[..., None], np.eye(4), (1.0, 1.0, 1.0))
    far = Volume("t", flair.voxels, np.array([[1, 0, 0, 500], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), flair.sides)
    with pytest.raises(InputError, match="do not overlap in space"):
        assemble("c", {"flair": flair, "post": far})
    with pytest.raises(InputError, match="c has no FLAIR"):
        assemble("c", {"pre": flair})
    labels = Volume("s", (flair.voxels > 90).astype(np.float32) * 4, np.eye(4), flair.sides)
    with pytest.raises(InputError, match="s holds nothing but 0, 4, so it is a map of labels, not an image"):
        assemble("c", {"flair": labels})
    eight_bit = Volume("e", np.round(flair.voxels), np.eye(4), flair.sides)
    assert assemble("c", {"flair": eight_bit}).voxels.shape[3] == 3
    colour = Volume("rgb", np.repeat(flair.voxels, 3, axis=3), np.eye(4), flair.sides)
    with pytest.raises(InputError, match="rgb has three channels; give one sequence per file"):
        assemble("c", {"flair": flair, "post": colour})
    no_depth = assemble("c", {"flair": Volume("z", flair.voxels, np.eye(4), (1.0, 1.0, 0.0))})
    assert no_depth.sides is None and NO_SPACING in no_depth.notes
    unplaced = Volume("u", flair.voxels[:-1], np.eye(4), flair.sides, is_oriented=False)
    with pytest.raises(InputError, match="u and f differ in size, and one of them does not say how the patient lies"):
        assemble("c", {"flair": flair, "post": unplaced})
    with pytest.raises(InputError, match="A case needs its FLAIR"):
        list(predict_case({"pre": tmp_path / "a.nii"}, tmp_path, None, Choices()))


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """A simulated slice's FLAIR, with four fainter copies, in right, front, head order (256, 256, 5)."""
    flair = LARGE.image[..., 1].astype(np.float32)
    return np.stack([flair * share for share in (0.8, 0.9, 1.0, 0.9, 0.8)], axis=2).transpose(1, 0, 2)[::-1, ::-1].copy()


def test_the_networks_give_the_same_mask_however_the_axes_run(head: np.ndarray, tmp_path: Path):
    pipeline, masks = bundled(VOLUME_MODEL), []
    for axes, signs in (((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1)), ((1, 2, 0), (-1, -1, 1))):
        stored, affine = turned(head, axes, signs, (1.0, 1.0, 5.0))
        volume = assemble("a", {"flair": read_volume(nifti(tmp_path / "a.nii", stored, affine))})
        mask = predict_volume(pipeline, volume).mask
        back = mask[tuple(slice(None, None, sign) for sign in signs)].transpose(np.argsort(axes))
        masks.append(back)
    assert masks[0].sum() > 1000 and all(np.array_equal(masks[0], other) for other in masks[1:])
    truth = LARGE.mask.T[::-1, ::-1]
    assert 2 * (masks[0][..., 2] & truth).sum() / (masks[0][..., 2].sum() + truth.sum()) > 0.9


Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_case_on_the_command_line(command: Command, head: np.ndarray, tmp_path: Path):
    stored, affine = turned(head, (0, 1, 2), (-1, -1, 1), (0.9, 0.9, 5.0))
    folder = tmp_path / "in"
    folder.mkdir()
    for ending in ("flair", "t1ce"):
        nifti(folder / f"p_{ending}.nii.gz", stored, affine)
    nifti(folder / "p_seg.nii.gz", (stored > 100).astype(np.uint8), affine)
    done = command("predict", folder, "--out", tmp_path / "out", "--png", "--probability")
    assert done.returncode == 0, done.stdout + done.stderr
    line = json.loads(done.stdout)
    assert Path(line["file"]).name == "p_flair.nii.gz" and len(line["files"]) == 2 and line["verdict"] == "Tumour found"
    assert line["volume_ml"] == pytest.approx(line["tumour_pixels"] * 0.9 * 0.9 * 5 / 1000, abs=1e-3)
    assert "FLAIR stands in for the pre-contrast T1, which is missing." in line["notes"]
    pngs = [f"p_{number}_mask.png" for number in range(1, 6)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*pngs, "p_mask.nii.gz", "p_probability.nii.gz"]
    )
    image, mask = nibabel.load(folder / "p_flair.nii.gz"), nibabel.load(tmp_path / "out" / "p_mask.nii.gz")
    assert mask.shape == image.shape and np.array_equal(mask.affine, image.affine)
    for code in ("qform_code", "sform_code", "xyzt_units"):
        assert mask.header[code] == image.header[code]
    judged, written = (
        SimpleITK.ReadImage(str(path)) for path in (folder / "p_flair.nii.gz", tmp_path / "out" / "p_mask.nii.gz")
    )
    for measure in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(written, measure)() == getattr(judged, measure)()
    voxels, probability = np.asarray(mask.dataobj), nibabel.load(tmp_path / "out" / "p_probability.nii.gz").get_fdata()
    assert voxels.dtype == np.uint8 and set(np.unique(voxels)) == {0, 1} and voxels.sum() == line["tumour_pixels"]
    assert probability.min() >= 0 and probability.max() <= 1 and (probability[voxels == 1] > 0.5).all()
    roles = (f"flair={folder / 'p_flair.nii.gz'}", f"post={folder / 'p_t1ce.nii.gz'}")
    again = command("predict", "--case", *roles, "--out", tmp_path / "again")
    assert again.returncode == 0 and json.loads(again.stdout)["tumour_pixels"] == line["tumour_pixels"]


def test_the_command_line_refuses_what_it_cannot_place(command: Command, tmp_path: Path):
    nifti(tmp_path / "atlas.nii", np.arange(32 * 32 * 4).reshape(32, 32, 4).astype(np.uint8) % 3)
    for arguments, sentence in (
        (["--case", f"t1={tmp_path / 'atlas.nii'}"], "is not pre=FILE, flair=FILE or post=FILE"),
        (["--case", f"pre={tmp_path / 'atlas.nii'}"], "A case needs its FLAIR"),
        ([], "Give files or folders to segment"),
    ):
        done = command("predict", *arguments, "--out", tmp_path / "out")
        assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr
    done = command("predict", tmp_path / "atlas.nii", "--out", tmp_path / "out")
    assert done.returncode == 2 and "is a map of labels, not an image" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "out").exists()


def test_a_volume_leaves_all_of_its_files_or_none(head: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    volume = assemble("a", {"flair": read_volume(nifti(tmp_path / "a.nii", np.zeros((32, 32, 3), np.float32)))})
    with pytest.raises(InputError, match="nothing with contrast to judge"):
        segment_case(Bright(), volume, [tmp_path / "out" / "a_mask.nii.gz"], [], False)
    assert not (tmp_path / "out").exists()


def test_a_mask_has_the_axes_of_its_file(tmp_path: Path):
    for shape in ((40, 30), (40, 30, 1), (40, 30, 2)):
        volume = read_volume(nifti(tmp_path / "a.nii", np.random.default_rng(0).random(shape).astype(np.float32)))
        (tmp_path / "m.nii.gz").write_bytes(nifti_on_grid(volume, np.ones(volume.shape, np.uint8)))
        assert nibabel.load(tmp_path / "m.nii.gz").shape == nibabel.load(tmp_path / "a.nii").shape == shape


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif("not os.environ.get('LGG_DATA')", reason="needs the LGG set")
def test_patients_as_volumes_are_outlined_as_evaluate_does(monkeypatch: pytest.MonkeyPatch):
    """Every test patient: windows give what all slices at once give, and a volume the pixels that the evaluation counted."""
    pipeline = bundled(VOLUME_MODEL)
    counted = find_model(VOLUME_MODEL).slices("test").set_index(["patient", "slice"])
    for patient, records in by_patient(open_splits().test).items():
        slices = np.stack([record.image() for record in records]).astype(np.float32)
        stored = np.ascontiguousarray(slices.transpose(2, 1, 0, 3)[::-1, ::-1])
        volume = Volume(patient, stored, np.eye(4))
        predictions = []
        for window in (WINDOW, 1000):
            monkeypatch.setattr("resunet.inference.stages.WINDOW", window)
            predictions.append(predict_volume(pipeline, volume))
        windows, whole = predictions
        assert np.abs(windows.probability.astype(np.float32) - whole.probability).max() < 1e-3  # a step of float16
        rows = counted.loc[patient]
        assert list(windows.axial_mask.sum(axis=(1, 2))) == pytest.approx(list(rows["tp"] + rows["fp"]), abs=2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif("not os.environ.get('LGG_DATA')", reason="needs the LGG set")
def test_windows_give_what_all_slices_at_once_give(monkeypatch: pytest.MonkeyPatch):
    """Every patient of more slices than a window holds; with fewer, there is one window."""
    stage_2, compared = Stage2(find_model(VOLUME_MODEL)), 0
    for records in by_patient(all_slices(os.environ["LGG_DATA"])[0]).values():
        if len(records) <= WINDOW:
            continue
        images = [normalise(record.image()) for record in records]
        maps = []
        for window in (WINDOW, 1000):
            monkeypatch.setattr("resunet.inference.stages.WINDOW", window)
            maps.append(np.stack([output.mean for output in stage_2.volume(images, len(images))]))
        np.testing.assert_allclose(*maps, rtol=0, atol=1e-5)
        compared += 1
    assert compared > 50


def test_slices_on_both_sides_of_a_missing_one_are_no_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "p"
    folder.mkdir()
    for number in (1, 10, 11, 12, 14):
        Image.fromarray(LARGE.image).save(folder / f"p_{number}.png")
    (examination,) = sort_examinations([StoredFile.on_disk(path) for path in sorted(folder.iterdir())])
    volume = examination.volume()
    assert volume.gaps == (1, 4)
    assert "Slices 2 to 9, 13 are missing: those around them were not taken for neighbours." in volume.notes
    runs: list[int] = []
    original = Stage2.volume

    def counting(self: Stage2, images: Iterable[np.ndarray], count: int, tta: bool = False) -> Iterator[ProbabilityMap]:
        runs.append(count)
        return original(self, images, count, tta)

    monkeypatch.setattr(Stage2, "volume", counting)
    predict_volume(bundled(VOLUME_MODEL), volume)
    assert runs == [1, 3, 1]
