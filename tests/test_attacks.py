"""Inputs that were judged wrongly, mixed up or ended a whole run: names, headers, folders and archives as people have them."""

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from resunet.data.samples import load_samples
from resunet.examination import sort_examinations
from resunet.inference.triage import triage_slice
from resunet.reading.sequences import read_name
from resunet.reading.stored_file import StoredFile
from tests.hostile import dicom, nifti
from tests.test_series import FLAIR, series

Command = Callable[..., subprocess.CompletedProcess[str]]
LARGE = next(sample for sample in load_samples() if sample.name == "large_1")
SMALL = nifti(np.stack([LARGE.image[..., 1].T[::-1, ::-1]] * 3, axis=-1).astype(np.float32), np.diag([0.9, 0.9, 5, 1]))


def lines_of(done: subprocess.CompletedProcess[str]) -> list[dict]:
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("T2_to_FLAIR.nii", "t2"),
        ("P1_T2_in_FLAIR.nii", "t2"),
        ("T1 reg to FLAIR.nii", "pre"),
        ("sub-01_space-FLAIR_T2w.nii", "t2"),
        ("sub-01_space-T1w_FLAIR.nii", "flair"),
        ("T2w_0001.nii", "t2"),
        ("P1_T2_2021.nii", "t2"),
        ("AX_T1_20200101_0004.nii", "pre"),
        ("B12_flair.nii", "flair"),
        ("MD_flair.nii", "flair"),
        ("T1_post_sub.nii", "other"),
        ("MIP_T1_GD.nii", "other"),
        ("FLAIR_adc.nii", "other"),
    ],
)
def test_what_a_name_says(name: str, sequence: str):
    assert read_name(name).sequence == sequence


def test_dates_are_no_channels_and_channels_are():
    assert read_name("BR_001_0000.nii").channel == 0 and read_name("patient_2021.nii").channel is None


@pytest.mark.parametrize(
    "names",
    [("001_flair.nii", "002_t1ce.nii"), ("FLAIR/patientA.nii", "T1CE/patientB.nii")],
)
def test_two_patients_stay_two(names: tuple[str, str]):
    files = [StoredFile.in_memory(name, SMALL) for name in names]
    assert [len(examination.sequences) for examination in sort_examinations(files)] == [1, 1]


@pytest.mark.parametrize("names", [("3_FLAIR.nii", "5_T1.nii"), ("FLAIR/p.nii", "T1/p.nii")])
def test_one_patient_stays_one(names: tuple[str, str]):
    (examination,) = sort_examinations([StoredFile.in_memory(name, SMALL) for name in names])
    assert set(examination.sequences) == {"flair", "pre"}


def test_series_of_two_patients_are_two_cases():
    files = {}
    for patient, words in (("A", "FLAIR"), ("B", "T1 POST")):
        planes = [FLAIR * share for share in (2, 3, 4)]
        one = series(planes, [0.0, 5.0, 10.0], PatientID=patient, SeriesDescription=words, SeriesInstanceUID="1.2.9")
        files |= {f"{patient}{name}": content for name, content in one.items()}
    examinations = sort_examinations([StoredFile.in_memory(name, content) for name, content in files.items()])
    assert sorted(tuple(examination.sequences) for examination in examinations) == [("flair",), ("post",)]


@pytest.mark.parametrize(
    "changes",
    [
        {"PixelSpacing": [0, 0]},
        {"PixelSpacing": [1e-320, 1e-320]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImagePositionPatient": [0, 0, 1e30]},
    ],
)
def test_impossible_geometry_gets_one_sentence(changes: dict[str, object], command: Command, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        place = {"ImagePositionPatient": [0, 0, 5 * number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        header = {"Modality": "MR", "SeriesDescription": "AX FLAIR", "SeriesInstanceUID": "1.2.7", "PixelSpacing": [1, 1]}
        content = dicom(LARGE.image[..., 1].astype(np.uint16), **(header | place | changes))
        (tmp_path / "in" / f"{name}.dcm").write_bytes(content)
    done = command("predict", tmp_path / "in", "--out", tmp_path / "out")
    lines = lines_of(done)
    assert done.returncode == 2 and all("error" in line for line in lines) and "does not say" in lines[0]["error"]


def test_numbered_slices_say_what_their_headers_say(command: Command, tmp_path: Path):
    for folder, changes in (("CT", {"Modality": "CT"}), ("head", {"Modality": "MR", "SeriesDescription": "AX T2 TSE"})):
        (tmp_path / folder).mkdir()
        for number in (20, 21):
            content = dicom(LARGE.image[..., 1].astype(np.uint16), **changes)
            (tmp_path / folder / f"{folder}_{number}.dcm").write_bytes(content)
    ct, t2 = lines_of(command("predict", tmp_path / "CT", tmp_path / "head", "--out", tmp_path / "out"))
    assert "is a CT" in ct["error"] and t2["verdict"].startswith("Not judged: the file says that this is a T2-weighted")


def test_files_that_cannot_be_used_stop_no_others(command: Command, tmp_path: Path):
    good, empty = tmp_path / "good.png", tmp_path / "empty"
    good.write_bytes(LARGE.png)
    empty.mkdir()
    (tmp_path / "broken.zip").write_bytes(b"Rar!")
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    long = tmp_path / f"{'x' * 250}.png"
    long.write_bytes(LARGE.png)
    hostile = [empty, tmp_path / "broken.zip", tmp_path / "text.zip", tmp_path / "loop.png", long]
    done = command("predict", *hostile, good, "--out", tmp_path / "out")
    lines = {Path(line["file"]).name: line for line in lines_of(done)}
    assert done.returncode == 2 and lines.pop("good.png")["verdict"] == "Tumour found"
    assert len(lines) == len(hostile) and all("error" in line for line in lines.values())
    assert "text.zip holds no image file" in lines["text.zip"]["error"] and "too long" in lines[long.name]["error"]


def test_a_data_set_of_nnunet_and_hidden_folders_above_are_found(command: Command, tmp_path: Path):
    root = tmp_path / ".cache" / "Dataset001"
    (root / "imagesTr").mkdir(parents=True)
    (root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "FLAIR", "1": "T1"}}))
    for channel in (0, 1):
        (root / "imagesTr" / f"BR_001_{channel:04}.nii").write_bytes(SMALL)
    (line,) = lines_of(command("predict", root, "--out", tmp_path / "out"))
    assert len(line["files"]) == 2 and line["slices"] == 3


def test_a_picture_on_top_hides_no_examination(command: Command, tmp_path: Path):
    (tmp_path / "cd" / "DICOM").mkdir(parents=True)
    (tmp_path / "cd" / "logo.png").write_bytes(cv2.imencode(".png", np.full((64, 64), 255, np.uint8))[1].tobytes())
    for name, content in series([FLAIR * share for share in (2, 3, 4)], [0.0, 5.0, 10.0]).items():
        (tmp_path / "cd" / "DICOM" / name).write_bytes(content)
    lines = lines_of(command("predict", tmp_path / "cd", "--out", tmp_path / "out"))
    assert any(line.get("slices") == 3 for line in lines)


def test_a_person_may_say_that_a_name_is_wrong(command: Command, tmp_path: Path):
    path = tmp_path / "x_T2w.nii"
    path.write_bytes(SMALL)
    for arguments in ((path, "--as", "flair"), ("--case", f"flair={path}")):
        (line,) = lines_of(command("predict", *arguments, "--out", tmp_path / arguments[-1].replace("/", "_")))
        assert line["verdict"] == "Tumour found"
    done = command("predict", "--case", f"flair={path}", f"flair={path}", "--out", tmp_path / "out")
    assert done.returncode == 2 and "names one role twice" in done.stderr


def test_a_colour_map_is_no_three_sequences():
    for name in (cv2.COLORMAP_JET, cv2.COLORMAP_HSV):
        coloured = cv2.applyColorMap(LARGE.image[..., 1], name)[..., ::-1]
        assert triage_slice(np.ascontiguousarray(coloured)).model == ""
    assert triage_slice(LARGE.image).model


def test_files_that_belong_together_are_written_together(command: Command, tmp_path: Path):
    (tmp_path / "x.nii").write_bytes(SMALL)
    (tmp_path / "out" / "x_probability.nii.gz").mkdir(parents=True)
    (tmp_path / "out" / "x_mask.nii.gz").write_bytes(b"before")
    (line,) = lines_of(command("predict", tmp_path / "x.nii", "--probability", "--out", tmp_path / "out"))
    assert "x_probability.nii.gz is a folder" in line["error"]
    assert (tmp_path / "out" / "x_mask.nii.gz").read_bytes() == b"before"


def test_a_screenshot_of_a_series_does_not_become_it():
    page = np.full((256, 256), 255, np.uint8)
    cv2.putText(page, "REPORT", (20, 128), cv2.FONT_HERSHEY_SIMPLEX, 2, 0, 4)
    scan_of = dicom(page.astype(np.uint16) * 100, Modality="OT", SeriesDescription="FLAIR key image")
    (examination,) = sort_examinations([StoredFile.in_memory("page.dcm", scan_of)])
    scan = examination.scan()
    assert scan.sequence is None and triage_slice(scan.slices[0], scan.sequence).model == ""


def test_of_several_inputs_each_that_cannot_be_used_is_named(command: Command, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    done = command("predict", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "out")
    assert done.returncode == 2 and [line["file"][-3:] for line in lines_of(done)] == ["one", "two"]
    assert all("holds no image file" in line["error"] for line in lines_of(done))
