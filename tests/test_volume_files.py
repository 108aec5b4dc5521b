"""What may be dropped in on the screen Volume besides NIfTI files, and the same on the command line."""

import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.reading.sandbox import SandboxedDecoder
from resunet.reading.scan import Scan
from resunet.reading.stack import stacked
from tests.conftest import open_app
from tests.test_evaluate_screen import plain_text, zipped
from tests.test_series import series
from tests.test_volume_screen import against_the_truth

Command = Callable[..., subprocess.CompletedProcess[str]]
SAMPLE = next(sample for sample in load_samples() if sample.name == "large_1")


@pytest.fixture(scope="module")
def scan() -> dict[str, bytes]:
    """A series of six slices, named against their order."""
    flair = SAMPLE.image[..., 1].astype(np.uint16)
    return series([flair] * 6, [5.0 * number for number in range(6)], SeriesDescription="AX FLAIR")


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """A folder as of the LGG set: three slices with masks."""
    folder = tmp_path / "TCGA_XX_1"
    folder.mkdir()
    for number in (1, 2, 10):
        Image.fromarray(SAMPLE.image).save(folder / f"TCGA_XX_1_{number}.tif")
        Image.fromarray(SAMPLE.mask.astype(np.uint8) * 255).save(folder / f"TCGA_XX_1_{number}_mask.tif")
    return folder


def dropped(files: dict[str, bytes]) -> AppTest:
    app = open_app("volume")
    app.file_uploader[0].set_value([(name, content, "") for name, content in files.items()]).run()
    return app


def test_slices_are_stacked_from_foot_to_head():
    planes = [np.full((20, 30, 3), number, np.uint8) for number in range(4)]
    volume = stacked("p", [Scan("a", plane[None]) for plane in planes], range(len(planes)))
    assert volume.shape == (30, 20, 4) and volume.sides is None
    np.testing.assert_array_equal(volume.axial(), np.stack(planes))
    with pytest.raises(InputError, match="slices of p differ in size"):
        stacked("p", [Scan("a", np.zeros((1, 20, 30, 3))), Scan("b", np.zeros((1, 20, 31, 3)))], [1, 2])


@pytest.mark.parametrize("packed", [False, True], ids=["files", "zip"])
def test_a_series_gets_its_verdict_and_a_dicom_segmentation(scan: dict[str, bytes], packed: bool):
    app = dropped({"scan.zip": zipped({f"study/{name}": content for name, content in scan.items()})} if packed else scan)
    assert not app.exception and app.header[0].value == "Tumour found"
    assert {"Mask (NIfTI)", "Mask (DICOM SEG)"} <= {button.label for button in app.get("download_button")}


def test_the_sandbox_writes_a_segmentation_that_refers_to_the_series(scan: dict[str, bytes]):
    decoder = SandboxedDecoder(timeout=30)
    try:
        (found,) = decoder.find_series(scan)
        assert found.description == "AX FLAIR" and set(found.files) == set(scan)
        volume = decoder.read_series(scan, "scan")
        mask = np.zeros(volume.shape, bool)
        mask[40:60, 70:90, 2:4] = True
        written = pydicom.dcmread(io.BytesIO(decoder.write_segmentation(scan, "scan", mask, "Model")))
    finally:
        decoder.close()
    assert written.Modality == "SEG" and int(written.pixel_array.sum()) == mask.sum()
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == found_series(scan)


def found_series(scan: dict[str, bytes]) -> str:
    return pydicom.dcmread(io.BytesIO(next(iter(scan.values())))).SeriesInstanceUID


def test_of_several_series_the_flair_is_offered_first(scan: dict[str, bytes]):
    flair = SAMPLE.image[..., 0].astype(np.uint16)
    other = series([flair] * 3, [0.0, 5.0, 10.0], SeriesDescription="AX T1")
    app = dropped({f"t1_{name}": content for name, content in other.items()} | scan)
    assert not app.exception and app.selectbox[0].options == ["AX T1 (3 slices)", "AX FLAIR (6 slices)"]
    assert app.selectbox[0].value.description == "AX FLAIR"


def test_a_patients_folder_with_its_masks_is_scored(patient: Path):
    app = dropped({file.name: file.read_bytes() for file in patient.iterdir()})
    assert not app.exception and app.header[0].value == "Tumour found"
    assert {metric.label: metric.value for metric in app.metric}["Volume"].endswith(" voxels")
    against = against_the_truth(app)
    assert float(against["Dice"]) > 0.9 and against["HD95"] == "–"


@pytest.mark.slow
def test_a_sample_is_opened_without_any_file():
    app = open_app("volume")
    app.button(key="open_tumour").click().run()
    assert not app.exception and app.header[0].value == "Tumour found"
    assert float(against_the_truth(app)["Dice"]) > 0.9
    volume = {metric.label: metric.value for metric in app.metric}["Volume"]
    app.segmented_control(key="volume_model").set_value("resunet_lite").run()
    assert not app.exception and {metric.label: metric.value for metric in app.metric}["Volume"] != volume
    app.segmented_control(key="volume_model").set_value("resunet_lite_3d").run()


@pytest.mark.slow
def test_a_healthy_sample_is_opened_without_any_file():
    app = open_app("volume")
    app.button(key="open_healthy").click().run()
    assert app.header[0].value == "No tumour found"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.png": SAMPLE.png}, "a.png is no NIfTI file and belongs to no series"),
        ({"a.zip": zipped({"readme.html": b"x"})}, "The zip file holds no image file"),
        ({"a.zip": b"PK\3\4 but no more"}, "That is not a zip file"),
        ({"a.dcm": b"\0" * 128 + b"DICM" + b"junk" * 9}, "hold no series of several slices"),
    ],
    ids=["a slice", "no image in a zip", "a broken zip", "broken DICOM"],
)
def test_what_is_no_examination_gets_one_sentence(files: dict[str, bytes], sentence: str):
    app = dropped(files)
    assert not app.exception and len(app.error) == 1 and sentence in plain_text(app.error[0].value)


def test_the_command_line_takes_the_same_folder_series_and_zip(
    patient: Path, scan: dict[str, bytes], command: Command, tmp_path: Path
):
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for name, content in scan.items():
            archive.writestr(f"inner/{name}", content)
    done = command("predict", patient, tmp_path / "study.zip", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    lines = {Path(line["file"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines["TCGA_XX_1_1.tif"]["slices"] == 3 and lines["TCGA_XX_1_1.tif"]["volume_ml"] is None
    (other,) = (line for name, line in lines.items() if not name.startswith("TCGA"))
    assert other["slices"] == 6 and "study.zip/inner/" in other["file"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"TCGA_XX_1_mask.nii.gz", "inner_mask.dcm"}
