"""The screen Volume: what may be dropped in, what comes out, and that it is the command line's."""

import gzip
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from benchmarks.browser import SLOW
from resunet.catalogue import VOLUME_MODEL, find_model
from resunet.data.samples import load_volumes
from resunet.errors import InputError
from resunet.evaluation.volume_scores import score_volume
from resunet.examination import sort_examinations
from resunet.inference import volume_pipeline
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.prepared import LEAST, prepared_path, read_prepared
from resunet.reading.sandbox import SandboxedDecoder
from resunet.reading.stored_file import StoredFile
from resunet.reports.volume_report import slices_table, volume_interval, volume_report
from tests.conftest import open_app
from tests.test_volumes import Bright, assemble, head, nifti, predict_volume, read_volume, scene, turned  # noqa: F401 (fixtures)

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def case(head: np.ndarray, tmp_path: Path) -> list[Path]:  # noqa: F811
    """FLAIR, post-contrast and a mask, of 0.9 x 0.9 x 5 mm, stored as scanners do."""
    stored, affine = turned(head, (0, 1, 2), (-1, -1, 1), (0.9, 0.9, 5.0))
    files = [nifti(tmp_path / f"p_{name}.nii.gz", stored, affine) for name in ("flair", "t1ce")]
    return [*files, nifti(tmp_path / "p_seg.nii.gz", (stored > 100).astype(np.uint8), affine)]


def uploaded(*paths: Path) -> AppTest:
    app = open_app("volume")
    files = [(path.name, path.read_bytes(), "application/gzip") for path in paths]
    app.file_uploader[0].set_value(files).run()
    return app


def against_the_truth(app: AppTest) -> dict[str, str]:
    """The scores beside the figures, by name."""
    words = next(text.value for text in app.markdown if text.value.startswith("Against the true mask"))
    return dict(re.findall(r"(\w+) \*\*(.+?)\*\*", words))


def test_a_case_of_three_files_gets_its_verdict_figures_and_scores(case: list[Path], command: Command, tmp_path: Path):
    app = uploaded(*case)
    assert not app.exception and [box.value for box in app.selectbox] == ["flair", "post", "mask"]
    line = json.loads(command("predict", *case, "--out", tmp_path / "out").stdout)
    shown = {metric.label: metric.value for metric in app.metric}
    assert app.header[0].value == line["verdict"] == "Tumour found"
    assert shown["Volume"] == f"{line['volume_ml']:.1f} ml"
    assert shown["Largest diameter"].endswith(" mm")
    against = against_the_truth(app)
    assert 0 <= float(against["Dice"]) <= 1 and against["HD95"].endswith(" mm") and against["volume"].endswith(" ml")
    assert len(app.get("plotly_chart")) == 1
    app.slider(key="volume_threshold_resunet_lite_3d").set_value(0.95).run()
    smaller = {metric.label: metric.value for metric in app.metric}["Volume"]
    assert float(smaller.removesuffix(" ml")) < line["volume_ml"]


@pytest.mark.parametrize(("sample", "verdict"), [("tumour", "Tumour found"), ("healthy", "No tumour found")])
def test_the_samples_were_predicted_beforehand(sample: str, verdict: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(volume_pipeline, "_Passes", None)  # no forward pass
    app = open_app("volume")
    app.button(key=f"open_{sample}").click().run()
    assert not app.exception and not app.error and app.header[0].value == verdict


@pytest.mark.slow
def test_what_was_predicted_beforehand_is_what_the_networks_say():
    pipeline, folder = TumourPipeline.load(VOLUME_MODEL), find_model(VOLUME_MODEL)
    files = [StoredFile.in_memory(name, content) for name, content in load_volumes()["tumour"].items()]
    (examination,) = sort_examinations(files)
    volume = examination.volume()
    kept = read_prepared(prepared_path(folder, pipeline, examination.key), pipeline, volume)
    fresh = volume_pipeline.predict_volume(pipeline, volume)
    assert kept is not None and kept.notes == fresh.notes
    np.testing.assert_allclose(kept.p_tumour, fresh.p_tumour, atol=2e-2)
    np.testing.assert_allclose(kept.probability, fresh.probability, atol=LEAST + 5e-3)
    assert (kept.axial_mask != fresh.axial_mask).sum() <= 1e-3 * fresh.axial_mask.sum()


def test_what_cannot_be_used_gets_one_sentence(case: list[Path], tmp_path: Path):
    flair, post, truth = case
    (tmp_path / "broken.nii.gz").write_bytes(flair.read_bytes()[:4000])
    (tmp_path / "picture.nii").write_bytes(b"\x89PNG\r\n")
    for files, sentence in (
        ([tmp_path / "broken.nii.gz"], "is a damaged gzip file"),
        ([tmp_path / "picture.nii"], "picture.nii is not a NIfTI file"),
        ([truth], "is a map of labels, not an image"),
    ):
        app = uploaded(*files)
        assert not app.exception and len(app.error) == 1
        assert sentence in app.error[0].value.replace("\\", "").replace("\u2060", "")
    app = uploaded(flair, post)
    app.selectbox[1].set_value("flair").run()
    assert "Two files are marked FLAIR" in app.error[0].value
    again = flair.with_name("q_flair.nii.gz")
    again.write_bytes(flair.read_bytes())
    assert "Two files are marked FLAIR" in uploaded(flair, again).error[0].value
    app = uploaded(post, truth)
    assert not app.error and [box.value for box in app.selectbox][:2] == ["post", "mask"]  # as the command line takes them
    app.selectbox[0].set_value("pre").run()
    assert "None of the files is FLAIR or contrast-enhanced T1" in app.error[0].value.replace("\\", "")


def test_a_mask_on_another_grid_is_no_truth(case: list[Path], tmp_path: Path):
    nifti(case[2], np.ones((20, 20, 5), np.uint8))
    app = uploaded(*case)
    assert "lies on another grid than the FLAIR" in app.error[0].value.replace("\\", "") and app.header


def test_the_sandbox_reads_volumes_as_the_package_does(case: list[Path]):
    decoder = SandboxedDecoder()
    try:
        ours, theirs = decoder.read_volume(case[0].read_bytes(), "a"), read_volume(case[0])
        assert np.array_equal(ours.voxels, theirs.voxels) and np.array_equal(ours.affine, theirs.affine)
        assert (ours.sides, ours.axes, ours.notes) == (theirs.sides, theirs.axes, theirs.notes)
        assert ours.header.binaryblock == theirs.header.binaryblock
        with pytest.raises(InputError, match="empty"):
            decoder.read_volume(b"", "b.nii")
    finally:
        decoder.close()


def test_figures_of_a_volume_by_hand(scene: tuple[np.ndarray, np.ndarray], tmp_path: Path):  # noqa: F811
    voxels, lesion = scene  # 6 x 10 x 5 voxels
    stored, affine = turned(voxels, (0, 1, 2), (1, 1, 1), (1.0, 1.0, 3.0))
    volume = assemble("a", {"flair": read_volume(nifti(tmp_path / "a.nii", stored, affine))})
    prediction = predict_volume(Bright(), volume)
    mask = prediction.axial_mask
    assert volume_interval(prediction) == pytest.approx((0.9, 0.9))
    table = slices_table(prediction, mask)
    assert list(table.loc[table["tumour_pixels"] > 0, "slice"]) == [5, 6, 7, 8, 9]
    assert table["area_mm2"].max() == 60 and table["diameter_mm"].max() == pytest.approx(np.hypot(6, 10), abs=0.1)
    truth = mask.copy()
    truth[4] = False
    scores = score_volume(prediction, mask, truth)
    assert scores.dice == pytest.approx(2 * 4 / 9) and scores.volume_error_ml == pytest.approx(0.18)
    assert scores.hd95_mm == 3.0  # one slice more
    report = json.loads(volume_report({"verdict": "x"}, prediction, "m", table))
    assert report["largest_diameter_mm"] == 11.7 and len(report["by_slice"]) == 20 and report["research_use_only"]
    assert pd.DataFrame(report["by_slice"])["tumour_pixels"].sum() == lesion.sum()


@pytest.mark.browser
@pytest.mark.slow
def test_three_planes_a_rendering_and_the_command_lines_mask(
    address: str,
    page: Page,
    case: list[Path],
    command: Command,
    tmp_path: Path,
):
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if "127.0.0.1" not in request.url else None)
    page.goto(f"{address}/volume")
    page.locator("input[type=file]").set_input_files(case)
    expect(page.get_by_role("heading", name="Tumour found")).to_be_visible(timeout=SLOW)
    canvas = page.frame_locator("iframe").locator("canvas").first
    expect(canvas).to_be_visible(timeout=SLOW)
    page.wait_for_timeout(3000)
    picture = np.frombuffer(canvas.screenshot(), np.uint8)
    assert picture.size > 20_000  # four views compress to more than an empty canvas does
    before = canvas.screenshot()
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    plot.scroll_into_view_if_needed()
    place = plot.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 0.2 * place["width"], place["y"] + 0.5 * place["height"], steps=4)
    page.wait_for_timeout(500)
    page.mouse.click(place["x"] + 0.2 * place["width"], place["y"] + 0.5 * place["height"])
    for _ in range(20):  # without a graphics card, each of the crosshair's steps is drawn by the processor
        page.wait_for_timeout(1000)
        if canvas.screenshot() != before:
            break
    assert canvas.screenshot() != before  # the crosshair lies in another slice
    threshold, chosen = page.get_by_role("slider", name="Threshold"), find_model(VOLUME_MODEL).config().threshold + 0.15
    threshold.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("stSliderThumbValue").first).to_have_text(f"{chosen:.2f}")
    page.wait_for_timeout(1500)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Mask (NIfTI)").click()
    downloaded = nibabel.Nifti1Image.from_bytes(gzip.decompress(Path(waiting.value.path()).read_bytes()))
    done = command("predict", *case, "--out", tmp_path / "out", "--threshold", round(chosen, 2))
    assert done.returncode == 0, done.stderr
    ours = nibabel.load(tmp_path / "out" / "p_mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(downloaded.dataobj), np.asarray(ours.dataobj))
    np.testing.assert_array_equal(downloaded.affine, ours.affine)
    assert not [url for url in outside if not url.startswith(("data:", "blob:"))]
