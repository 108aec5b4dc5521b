"""The app in a real browser: pick a sample, move the threshold, upload, download, compare with the command line."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, TimeoutError, expect

from benchmarks.browser import LANDMARKS, SLOW
from benchmarks.server import serving
from pages.common.messages import JOINER
from resunet.catalogue import FLAGSHIP, find_model
from resunet.data.samples import SAMPLES
from resunet.evaluation.sweep import THRESHOLDS
from resunet.files import write_csv
from tests.conftest import REPOSITORY
from tests.test_evaluate_screen import two_folders, zipped

pytestmark = pytest.mark.browser


def test_from_sample_to_downloaded_mask(
    address: str, page: Page, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess]
):
    # A deep link on a fresh server reaches the screen through app.py.
    page.goto(f"{address}/single-image")
    page.get_by_role("button", name="Typical 3", exact=True).click(timeout=SLOW)
    expect(page.get_by_text("Simulated sample: Typical 3")).to_be_visible(timeout=SLOW)
    # While the screen is drawn again, the verdict before is still there for a moment.
    expect(page.get_by_role("heading", name="Tumour found")).to_have_count(1, timeout=SLOW)

    figures = page.get_by_text("% of the slice")
    before = figures.inner_text()
    threshold = page.get_by_role("slider", name="Threshold")
    threshold.focus()
    for _ in range(25):
        page.keyboard.press("ArrowRight")  # to what has the focus: a slider is twice there while it is drawn again
    expect(figures).not_to_have_text(before)

    page.get_by_text("Upload", exact=True).click()
    source = SAMPLES / "images" / "large_2.png"
    page.locator("input[type=file]").set_input_files(source)
    expect(page.get_by_text("large_2.png. Orange line")).to_be_visible(timeout=SLOW)

    chosen = float(threshold.input_value())
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download", exact=True).click()
        page.get_by_role("button", name="Mask (PNG)").click()
    downloaded = cv2.imread(str(waiting.value.path()), cv2.IMREAD_UNCHANGED)

    done = command("predict", source, "--out", tmp_path, "--threshold", chosen)
    assert done.returncode == 0, done.stderr
    ours = cv2.imread(str(tmp_path / "large_2_mask.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(ours)) == {0, 255}
    np.testing.assert_array_equal(downloaded, ours)


ODD_NAMES = (
    "# head.png",
    "1. one.png",
    "- dash.png",
    "www.evil.com.png",
    "me@evil.com.png",
    ":+1: :smile: :red[x] :material_home:.png",
    "**b** _i_ ~~s~~ `c` $x^2$.png",
    "![a](b) [c](www.d.e).png",
    "<b>x</b> &lt;.png",
    "😀 face.png",
)


@pytest.mark.slow
def test_odd_file_names_are_shown_as_they_are(address: str, page: Page):
    page.goto(f"{address}/single-image")
    page.get_by_text("Upload", exact=True).click(timeout=SLOW)
    for name in ODD_NAMES:
        page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": b"nonsense"})
        alert = page.get_by_test_id("stAlert").filter(has_text="is not an image that can be read here")
        expect(alert).to_have_count(1, timeout=SLOW)
        assert alert.inner_text().replace(JOINER, "").startswith(f"{name} is not an image")
        assert alert.locator("a, img, h1, ol, ul, strong, em, code, del, .katex").count() == 0
        page.get_by_role("button", name="Remove").click()
        expect(alert).to_have_count(0, timeout=SLOW)


@pytest.mark.slow
def test_removing_a_file_while_a_row_is_selected_breaks_nothing(address: str, page: Page):
    page.goto(f"{address}/single-image")
    page.get_by_text("Upload", exact=True).click(timeout=SLOW)
    page.locator("input[type=file]").set_input_files([SAMPLES / "images" / f"large_{number}.png" for number in (1, 2, 3)])
    expect(page.get_by_text("large_1.png. Orange line")).to_be_visible(timeout=SLOW)
    box = page.get_by_test_id("stDataFrame").first.locator("canvas").first.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 35 * 3 + 17)  # the tick box of the third row
    expect(page.get_by_text("large_3.png. Orange line")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Remove large_2.png").click()
    expect(page.get_by_role("button", name="Remove large_2.png")).to_have_count(0, timeout=SLOW)
    expect(page.get_by_text("Orange line: predicted outline")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("encountered an error")).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize("screen", LANDMARKS)
def test_every_link_opens_its_screen_on_a_fresh_server(page: Page, screen: str):
    with serving() as server:
        page.goto(f"{server.address}/{screen}")
        expect(page.get_by_text(LANDMARKS[screen]).first).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("Page not found")).to_have_count(0)
        expect(page.get_by_role("link", name="Overview")).to_be_visible()  # through app.py, not the bare file


@pytest.mark.slow
def test_a_shared_case_opens_on_a_fresh_server(page: Page):
    with serving() as server:
        page.goto(f"{server.address}/cases?patient=TCGA_CS_4944_20010208&slice=10")
        expect(page.get_by_role("heading", name="TCGA_CS_4944_20010208, slice 10")).to_be_visible(timeout=SLOW)


@pytest.mark.slow
def test_a_point_of_a_chart_leads_to_its_case_and_back(address: str, page: Page):
    page.goto(f"{address}/metrics")
    page.get_by_role("tab", name="Tumour size").click(timeout=SLOW)
    point = page.locator(".st-key-patients .scatterlayer .point").first
    point.wait_for(timeout=SLOW)
    point.scroll_into_view_if_needed()
    opened = page.get_by_text("most wrong pixels first")
    for _ in range(10):  # a chart that is just being drawn again loses the click
        point.click(force=True, timeout=SLOW)
        with contextlib.suppress(TimeoutError):
            opened.wait_for(timeout=5000)
            break
    expect(opened).to_be_visible(timeout=SLOW)
    assert "/cases" in page.url and "patient=TCGA_" in page.url and "evaluation=cross_validated" in page.url
    page.go_back()
    expect(page.get_by_role("heading", name="Metrics")).to_be_visible(timeout=SLOW)


@pytest.mark.slow
def test_a_row_of_the_table_opens_its_case(address: str, page: Page):
    page.goto(f"{address}/cases")
    first = page.get_by_text("Number 1 of")
    expect(first).to_be_visible(timeout=SLOW)
    table = page.get_by_test_id("stDataFrame").locator("canvas").first
    box = table.bounding_box()
    page.mouse.click(box["x"] + 250, box["y"] + 35 * 3 + 17)  # anywhere in the third row
    expect(page.get_by_text("Number 3 of")).to_be_visible(timeout=SLOW)
    assert "patient=" in page.url
    page.get_by_role("heading", name="Cases").click()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Number 4 of")).to_be_visible(timeout=SLOW)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("Number 3 of")).to_be_visible(timeout=SLOW)


@pytest.mark.slow
def test_the_slideshow_plays_by_itself_and_pauses_on_a_key(address: str, page: Page):
    page.goto(f"{address}/slideshow")
    show = page.frame_locator("iframe").locator("body")
    expect(show).to_have_attribute("data-slide", "0", timeout=SLOW)
    expect(show).to_have_attribute("data-slide", "1", timeout=15_000)  # nobody touched it
    for _ in range(2):  # what a presenter sends steps through the pictures of a slide, then to the next
        show.press("PageDown")
    expect(show).to_have_attribute("data-slide", "2")
    show.press("PageUp")
    expect(show).to_have_attribute("data-slide", "1")
    expect(page.frame_locator("iframe").locator("#position")).to_have_text(re.compile(r"2 of \d+"))
    for _ in range(2):
        show.press("ArrowRight")
    expect(show).to_have_attribute("data-slide", "2")
    show.press("x")
    expect(show).to_have_attribute("data-paused", "true")
    for width, height in ((1920, 1080), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        frame, button = (page.locator(what).bounding_box() for what in ("iframe", "[data-testid=stDownloadButton]"))
        assert frame is not None and button is not None and button["y"] >= frame["y"] + frame["height"]


@pytest.mark.slow
def test_a_volumes_plane_is_whole_in_the_first_screen(address: str, page: Page):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/volume")
    page.get_by_role("button", name="With a tumour").click(timeout=SLOW)
    plane = page.locator(".st-key-volume_planes iframe")
    expect(plane).to_be_visible(timeout=SLOW)
    for view in ("Axial", "Coronal", "Sagittal"):
        page.get_by_role("radio", name=view).click()
        expect(page.get_by_role("radio", name=view)).to_be_checked(timeout=SLOW)
        page.wait_for_timeout(3000)
        page.get_by_test_id("stMain").evaluate("node => node.scrollTo(0, 0)")
        box, column = plane.bounding_box(), page.get_by_test_id("stColumn").filter(has=plane).last.bounding_box()
        assert box is not None and column is not None
        assert box["y"] + box["height"] <= 720 and box["width"] <= column["width"] + 1


@pytest.mark.slow
def test_a_charts_data_opens_as_a_table_that_matches(address: str, page: Page, tmp_path: Path):
    page.goto(f"{address}/metrics")
    card = page.get_by_test_id("stMetric").filter(has_text="Volume Dice, mean")
    expect(card).to_be_visible(timeout=SLOW)
    with page.expect_download() as download:
        page.locator(".st-key-aggregations_csv").get_by_role("button").click()
    download.value.save_as(tmp_path / "chart.csv")
    values = pd.read_csv(tmp_path / "chart.csv").select_dtypes("number").to_numpy().ravel()
    shown = float(card.get_by_test_id("stMetricValue").inner_text())
    assert np.nanmin(np.abs(values - shown)) < 5e-4


@pytest.mark.slow
def test_own_images_and_masks_are_measured(address: str, page: Page):
    page.goto(f"{address}/evaluate")
    upload = {"name": "mine.zip", "mimeType": "application/zip", "buffer": zipped(two_folders())}
    page.locator("input[type=file]").set_input_files(upload)
    page.get_by_role("button", name="Evaluate", exact=True).click(timeout=SLOW)
    expect(page.get_by_text("over 2 patients, 6 slices")).to_be_visible(timeout=SLOW)
    page.get_by_text("Slice by slice").click()
    expect(page.get_by_text("Blue: true outline, orange: predicted.")).to_be_visible(timeout=SLOW)


@pytest.mark.slow
def test_the_threshold_explorer_says_what_the_command_line_says(
    address: str, page: Page, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess]
):
    for name, content in two_folders("").items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(content)
    threshold, out = 0.3, tmp_path / "out"
    wanted = ("evaluate", FLAGSHIP, "--data", tmp_path / "mine", "--split", "all", "--threshold", threshold, "--out", out)
    done = command(*wanted)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "summary.json").read_text())["metrics"]

    page.goto(f"{address}/evaluate")
    upload = {"name": "mine.zip", "mimeType": "application/zip", "buffer": zipped(two_folders())}
    page.locator("input[type=file]").set_input_files(upload)
    page.get_by_role("button", name="Evaluate", exact=True).click(timeout=SLOW)
    page.get_by_text("All figures").click(timeout=SLOW)
    page.get_by_text("Threshold, gate and filters").click(timeout=SLOW)
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus(timeout=SLOW)
    chosen = find_model(FLAGSHIP).config().threshold
    for _ in range(THRESHOLDS.index(chosen) - THRESHOLDS.index(threshold)):
        slider.press("ArrowLeft")
    cards = page.get_by_test_id("stMetric")
    for label, name in (("Volume Dice, mean", "volume_dice_mean"), ("Recall", "recall"), ("Precision", "precision")):
        card = cards.filter(has=page.get_by_text(f"{label}, both stages", exact=True)).get_by_test_id("stMetricValue")
        expect(card).to_have_text(f"{metrics[f'gated_{name}']['value']:.3f}")


@pytest.mark.slow
def test_an_evaluation_can_be_cancelled(address: str, page: Page):
    files = two_folders("")
    many = {
        f"{kind}/p{number}_{number}.png": content
        for number in range(60)
        for kind, content in (("images", files["images/p0_0.png"]), ("masks", files["masks/p0_0.png"]))
    }
    page.goto(f"{address}/evaluate")
    page.locator("input[type=file]").set_input_files(
        {"name": "many.zip", "mimeType": "application/zip", "buffer": zipped(many)}
    )
    page.get_by_role("button", name="Evaluate", exact=True).click(timeout=SLOW)
    expect(page.get_by_text("of 60 slices, about")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=SLOW)
    expect(page.get_by_role("button", name="Evaluate", exact=True)).to_be_enabled()
    expect(page.get_by_text("mean volume Dice")).to_have_count(0)


@pytest.mark.slow
def test_a_run_in_training_grows_before_ones_eyes(address: str, page: Page):
    run = REPOSITORY / "runs" / "browser_test"
    table = find_model(FLAGSHIP).history()
    try:
        write_csv(run / "history.csv", table.head(3))
        page.goto(f"{address}/training")
        # Typed, because the list draws only the first of many runs.
        page.get_by_role("combobox", name="Runs").fill("browser_test", timeout=SLOW)
        page.get_by_role("option", name="runs/browser_test").click()
        page.keyboard.press("Escape")
        page.get_by_text("Watch live").click()
        expect(page.get_by_text("runs/browser_test: epoch 3")).to_be_visible(timeout=SLOW)
        write_csv(run / "history.csv", table.head(5))
        expect(page.get_by_text("runs/browser_test: epoch 5")).to_be_visible(timeout=SLOW)
    finally:
        shutil.rmtree(run, ignore_errors=True)
