"""The command line as other programs see it: a process with arguments, files, lines and an exit status."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resunet.catalogue import FLAGSHIP, STAGE_1, WEIGHTS, find_model
from resunet.data.samples import SAMPLES, load_samples
from tests.hostile import BAD, dicom, picture

Command = Callable[..., subprocess.CompletedProcess[str]]
LARGE = next(sample for sample in load_samples() if sample.name == "large_1")


LINE = {"file", "verdict", "p_tumour", "gated", "tumour_pixels", "slices", "unlike_training", "notes", "seconds"}
LINE |= {"sequence", "judged_all_the_same"}


def lines(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_predict_writes_masks_and_one_json_line_a_file(command: Command, tmp_path: Path):
    (tmp_path / "one.png").write_bytes(LARGE.png)
    (tmp_path / "broken.png").write_bytes(LARGE.png[:5000])
    deep = LARGE.image[..., 1].astype(np.uint16) * 200
    (tmp_path / "volume.dcm").write_bytes(dicom(np.stack([deep, deep[:, ::-1]])))
    files = [tmp_path / name for name in ("one.png", "broken.png", "volume.dcm")]
    done = command("predict", *files, "--out", tmp_path / "out", "--gate", "0")
    assert done.returncode == 2 and done.stderr.count("Traceback") == 0
    one, broken, volume = lines(done)
    assert one["file"] == str(files[0]) and set(one) == LINE
    assert one["verdict"] == "Tumour found" and not one["unlike_training"]
    assert set(broken) == {"file", "error"} and "damaged or incomplete" in broken["error"]
    mask = cv2.imread(str(tmp_path / "out" / "one_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (256, 256) and set(np.unique(mask)) == {0, 255}
    assert int((mask > 0).sum()) == one["tumour_pixels"] > 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["one_mask.png", "volume_1_mask.png", "volume_2_mask.png"]
    sizes = [int((cv2.imread(str(tmp_path / "out" / name), 0) > 0).sum()) for name in names[1:]]
    assert sum(sizes) == volume["tumour_pixels"]


def test_predict_takes_a_folder(command: Command, tmp_path: Path):
    done = command("predict", SAMPLES / "images", "--out", tmp_path)
    assert done.returncode == 0
    assert len(lines(done)) == len(list(tmp_path.glob("*_mask.png"))) == 24


def test_predict_overwrites_no_mask_of_another_file(command: Command, tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(LARGE.png)
    first, second = lines(command("predict", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out"))
    assert first["tumour_pixels"] == second["tumour_pixels"] > 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a_1_mask.png", "b_1_mask.png"]


def test_files_of_one_stem_and_of_uids_keep_their_masks_apart(command: Command, tmp_path: Path):
    content = dicom(LARGE.image[..., 1].astype(np.uint16))
    for name in ("1.2.826.1", "1.2.826.2", "scan.png", "scan.dcm", "vol_1.png"):
        (tmp_path / name).write_bytes(LARGE.png if name.endswith("png") else content)
    (tmp_path / "vol.dcm").write_bytes(dicom(np.stack([LARGE.image[..., 1].astype(np.uint16)] * 2)))
    done = command("predict", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    singles = ["1.2.826.1_mask.png", "1.2.826.2_mask.png", "scan.dcm_mask.png", "scan.png_mask.png", "vol_1_mask.png"]
    assert names == sorted([*singles, "vol_slice_1_mask.png", "vol_slice_2_mask.png"])


def test_a_mask_beside_the_inputs_is_never_written_over(command: Command, tmp_path: Path):
    (tmp_path / "one.png").write_bytes(LARGE.png)
    (tmp_path / "two.png").write_bytes(LARGE.png)
    (tmp_path / "two_mask.png").write_bytes(b"the truth")
    done = command("predict", tmp_path, "--out", tmp_path)
    assert done.returncode == 2 and "two_mask.png lies beside the inputs already" in done.stderr and done.stdout == ""
    assert (tmp_path / "two_mask.png").read_bytes() == b"the truth" and not (tmp_path / "one_mask.png").exists()


def test_a_picture_with_nothing_to_judge_gets_a_sentence_and_no_mask(command: Command, tmp_path: Path):
    (tmp_path / "zeros.png").write_bytes(picture(Image.new("L", (64, 64)), "PNG"))
    volume = np.stack([np.zeros((256, 256), np.uint16), LARGE.image[..., 1].astype(np.uint16)])
    (tmp_path / "volume.dcm").write_bytes(dicom(volume))
    volume_line, zeros = lines(command("predict", tmp_path, "--out", tmp_path / "out"))
    assert set(zeros) == {"file", "error"} and "nothing with contrast" in zeros["error"]
    assert "1 of 2 slices have no contrast and were not judged." in volume_line["notes"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["volume_1_mask.png", "volume_2_mask.png"]


def test_a_volume_of_masks_in_a_folder_is_no_image(command: Command, tmp_path: Path):
    (tmp_path / "one.png").write_bytes(LARGE.png)
    (tmp_path / "one_mask.nii.gz").write_bytes(b"not read")
    assert [Path(line["file"]).name for line in lines(command("predict", tmp_path, "--out", tmp_path / "out"))] == ["one.png"]


def test_another_threshold_does_not_replace_the_evaluation_of_the_model(command: Command, kaggle: Path):
    done = command("evaluate", FLAGSHIP, "--data", kaggle, "--threshold", "0.3")
    assert done.returncode == 2 and "add --out DIR" in done.stderr
    assert "neither a gate nor flips" in command("evaluate", STAGE_1, "--data", kaggle, "--tta").stderr


def test_every_bad_file_gets_its_own_sentence(command: Command, tmp_path: Path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, (build, _) in BAD.items():
        (folder / name).write_bytes(build())
    done = command("predict", folder, "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stderr == ""
    told = {Path(line["file"]).name: line["error"] for line in lines(done)}
    assert told.keys() == BAD.keys(), done.stdout
    assert all(told[name].startswith(name) and told[name].endswith(".") for name in BAD)
    assert not (tmp_path / "out").exists()


def test_evaluate_writes_what_it_prints(command: Command, kaggle: Path, tmp_path: Path):
    done = command("evaluate", FLAGSHIP, "--data", kaggle, "--split", "all", "--out", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    slices = pd.read_csv(tmp_path / "all" / "slices.csv")
    summary = json.loads((tmp_path / "all" / "summary.json").read_text())
    assert len(slices) == summary["n_slices"] == 24 and summary["n_patients"] == 8
    assert (slices["tp"] + slices["fn"]).equals(slices["tumour_pixels"])
    assert f"{summary['metrics']['pooled_dice']['value']:.4f}" in done.stdout
    assert {name for name in summary["metrics"] if name.startswith("gated_")}
    gated = command("evaluate", FLAGSHIP, "--data", kaggle, "--split", "test", "--out", tmp_path / "g", "--gate", "1")
    assert gated.returncode == 0
    figures = json.loads((tmp_path / "g" / "summary.json").read_text())["metrics"]
    assert figures["gated_recall"]["value"] == 0.0 < figures["recall"]["value"]


def test_compare_writes_what_the_folders_say(command: Command, tmp_path: Path):
    done = command("compare", "--out", tmp_path / "tables")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "tables" / "metrics.csv").set_index(["model", "metric"])
    figure = json.loads((WEIGHTS / FLAGSHIP / "evaluation" / "test" / "summary.json").read_text())["metrics"]["recall"]
    assert table.loc[(FLAGSHIP, "recall"), "value"] == pytest.approx(figure["value"], rel=1e-5)
    breakdown = pd.read_csv(tmp_path / "tables" / "error_breakdown.csv").set_index("model").loc[FLAGSHIP]
    assert (
        breakdown["found"] + breakdown["lost_at_gate"] + breakdown["lost_lesions"] + breakdown["lost_at_border"]
        == breakdown["tumour"]
    )
    assert command("compare", "--evaluation", "nowhere").returncode == 2
    folds = command("compare", "--evaluation", "cross_validated").stdout
    assert "groups" in folds and "All patients 100" in folds and "stage_1_against_masks" not in folds  # it was not run there


def test_time_writes_the_latency_into_configuration_and_card(command: Command, tmp_path: Path):
    shutil.copytree(find_model("unet").path, tmp_path / "unet")
    before = find_model(str(tmp_path / "unet")).config()
    done = command("time", tmp_path / "unet")
    assert done.returncode == 0, done.stderr
    after = find_model(str(tmp_path / "unet")).config()
    assert after.latency is not None and 0.1 < after.latency.milliseconds < 5000
    assert f"{after.latency.milliseconds:.1f} ms on {after.latency.processor}" in done.stdout
    assert f"{after.latency.milliseconds:.1f} ms on" in (tmp_path / "unet" / "README.md").read_text(encoding="utf-8")
    assert replace(after, latency=before.latency) == before
    refused = command("time", STAGE_1)
    assert refused.returncode == 2 and "only models that outline are timed" in refused.stderr


@pytest.mark.slow
def test_train_tune_promote_predict(command: Command, kaggle: Path, tmp_path: Path):
    assert command("train", "--recipe", "smoke", "--data", kaggle).returncode == 0
    refused = command("tune", tmp_path / "runs" / "smoke", "--data", kaggle)
    assert refused.returncode == 2 and "has no model.onnx; run resunet export" in refused.stderr
    assert command("export", tmp_path / "runs" / "smoke").returncode == 0
    tuned = command("tune", tmp_path / "runs" / "smoke", "--data", kaggle)
    assert tuned.returncode == 0, tuned.stderr
    assert json.loads(tuned.stdout)["threshold_split"] == "val"
    promoted = command("promote", tmp_path / "runs" / "smoke", "--to", tmp_path / "models" / "mine")
    assert promoted.returncode == 0, promoted.stderr
    names = {path.name for path in (tmp_path / "models" / "mine").iterdir()}
    assert {"model.safetensors", "model.onnx", "config.json", "history.csv", "snapshots.npz", "README.md"} == names
    card = tmp_path / "models" / "mine" / "README.md"
    assert "license: cc-by-nc-sa-4.0" in card.read_text() and "Not evaluated yet" in card.read_text()
    assert command("evaluate", tmp_path / "models" / "mine", "--data", kaggle).returncode == 0
    assert "| volume_dice_mean |" in card.read_text()  # the card follows the files
    (tmp_path / "one.png").write_bytes(LARGE.png)
    done = command("predict", tmp_path / "one.png", "--out", tmp_path / "out", "--model", tmp_path / "models" / "mine")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "gone.png", "--out", "out"], ""),
        (["evaluate", FLAGSHIP, "--data", "nowhere"], "does not exist"),
        (["evaluate", FLAGSHIP], "No LGG data set given"),
        (["evaluate", "nonsense", "--data", "."], "no model 'nonsense'"),
        (["train", "--recipe", "nonsense"], "no recipe 'nonsense'"),
        (["train", "--recipe", "smoke"], "No LGG data set given"),
        (["promote", "nowhere"], "has no model.safetensors"),
        (["predict", "a.png", "--out", "out", "--threshold", "7"], "not a number between 0 and 1"),
        ([], "required"),
    ],
)
def test_wrong_use_ends_with_2_and_a_sentence(command: Command, arguments: list[str], sentence: str):
    done = command(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr
    if arguments[:2] == ["predict", "gone.png"]:
        assert "does not exist" in lines(done)[0]["error"]


def test_damaged_weights_are_named(command: Command, tmp_path: Path):
    copy = tmp_path / "model"
    copy.mkdir()
    for path in (WEIGHTS / FLAGSHIP).iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[1000] ^= 255
    (copy / "model.safetensors").write_bytes(bytes(content))
    done = command("predict", SAMPLES / "images" / "large_1.png", "--out", tmp_path, "--model", copy)
    assert done.returncode == 2 and "is damaged: its SHA-256" in done.stderr and "Traceback" not in done.stderr
