"""What a speaker, a visitor on a phone and a screen reader get: picture in the first screen, readable text, one verdict."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import LANDMARKS, SLOW, wait_until_drawn
from pages.common import predictions
from pages.common.uploads import ImageFile
from resunet.data.samples import load_samples
from resunet.inference.verdict import verdict
from resunet.reports.case_report import report
from resunet.reports.slideshow_file import case_slide
from tests.conftest import bundled, open_app

SIZES = [(1280, 720), (1440, 900), (1920, 1080), (390, 844)]
SCHEMES = ["light", pytest.param("dark", marks=pytest.mark.slow)]
OWN = ("http://127.0.0.1", "data:", "blob:")
SERIOUS = ("serious", "critical")
# Streamlit's own: tables are drawn on a canvas with hidden cells, and its header is no landmark of ours.
NOT_OURS = [["[data-testid=stDataFrame]"], ["[data-testid=stHeader]"], ["iframe"], ["[data-testid=stGraphVizChart]"]]
COUNT_ORANGE = """node => {
    const data = node.getContext("2d").getImageData(0, 0, node.width, node.height).data;
    let count = 0;
    for (let at = 0; at < data.length; at += 4)
        count += Math.abs(data[at] - 230) < 40 && Math.abs(data[at + 1] - 159) < 40 && data[at + 2] < 40;
    return count;
}"""


def opened(browser: Browser, address: str, screen: str, size: tuple[int, int], scheme: str = "light") -> Page:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page.goto(f"{address}/{screen}")
    wait_until_drawn(page, screen.partition("?")[0])
    return page


@pytest.mark.browser
@pytest.mark.parametrize("scheme", SCHEMES)
def test_verdict_and_outlined_tumour_lie_within_the_first_screen(address: str, browser: Browser, scheme: str):
    page = opened(browser, address, "single-image", SIZES[0], scheme)
    canvas, heading = page.locator("canvas[role=img]"), page.get_by_role("heading", name="Tumour found")
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        for box in (canvas.bounding_box(), heading.bounding_box()):
            assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= height and box["x"] + box["width"] <= width
        assert canvas.evaluate(COUNT_ORANGE) > 100  # the outline is drawn
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_a_volumes_verdict_and_first_planes_lie_within_the_first_screen(address: str, browser: Browser):
    page = opened(browser, address, "volume", (1280, 720))
    page.get_by_role("button", name="With a tumour", exact=True).click()
    frame, heading = page.locator("iframe[title*=niivue]"), page.get_by_role("heading", name="Tumour found")
    expect(frame).to_be_visible(timeout=SLOW)
    expect(heading).to_be_visible(timeout=SLOW)
    for (width, height), planes in (((1280, 720), 300), ((390, 844), 250)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(1000)
        verdict_box, frame_box = heading.bounding_box(), frame.bounding_box()
        assert verdict_box is not None and verdict_box["y"] + verdict_box["height"] <= height
        assert frame_box is not None and frame_box["y"] + planes <= height  # its menu, and two planes abreast
        figures = page.get_by_test_id("stMetricValue")
        assert all(
            figures.nth(at).evaluate("node => node.scrollWidth <= node.clientWidth + 1") for at in range(figures.count())
        )
    page.close()


@pytest.mark.browser
def test_the_threshold_layers_zoom_and_link_act_in_the_browser(address: str, browser: Browser):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}/single-image?sample=typical_2")
    wait_until_drawn(page, "single-image")
    canvas, figures = page.locator("canvas[role=img]"), page.locator("[data-name=figures]")
    expect(figures).to_contain_text("Dice 0.9", timeout=SLOW)
    before = figures.inner_text()
    page.get_by_role("slider", name="Threshold").focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    pipeline = bundled()
    expect(page.locator("[data-name=value]")).to_have_text(f"{pipeline.threshold - 0.3:.2f}")  # drawn with the next frame
    assert figures.inner_text() != before
    outlined = int(figures.inner_text().split(" pixels")[0].replace(",", ""))
    sample = next(sample for sample in load_samples() if sample.name == "typical_2")
    expected = pipeline.predict(sample.image).with_thresholds(pipeline.threshold - 0.3).mask.sum()
    assert outlined == expected
    expect(page.get_by_text(f"{expected:,} pixels,")).to_be_visible(timeout=SLOW)  # the server's words follow
    pictures = [canvas.screenshot()]
    for name in ("Probability", "Grad-CAM", "Hits and misses"):
        page.get_by_role("button", name=name).click()
        pictures.append(canvas.screenshot())
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, 120)
    assert canvas.screenshot() == pictures[-1]  # the wheel alone is the page's
    page.keyboard.down("Control")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    pictures.append(canvas.screenshot())
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 80, box["y"] + box["height"] / 2 - 40)
    page.mouse.up()
    pictures.append(canvas.screenshot())
    assert len(set(pictures)) == len(pictures)
    page.get_by_role("button", name="Copy link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "sample=typical_2" in link and "threshold=0.50" in link and "layer=errors" in link
    page.goto(link)
    wait_until_drawn(page, "single-image")
    expect(page.locator("[data-name=value]")).to_have_text("0.50", timeout=SLOW)
    expect(page.get_by_role("button", name="Hits and misses")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("[data-name=value]")).to_have_text(f"{pipeline.threshold:.2f}")
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("screen", LANDMARKS, ids=lambda screen: screen or "overview")
def test_a_screen_is_accessible_fits_every_width_and_asks_nobody_outside(address: str, page: Page, screen: str, scheme: str):
    foreign, wrong = list[str](), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(f"{message.text} {message.location}") if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(OWN) else foreign.append(request.url))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{address}/{screen}")
    wait_until_drawn(page, screen)
    page.wait_for_timeout(300)
    results = Axe().run(page, context={"exclude": NOT_OURS})
    serious = [finding for finding in results.response["violations"] if finding["impact"] in SERIOUS]
    found = {finding["id"]: [node["html"][:160] for node in finding["nodes"]] for finding in serious}
    assert not found, json.dumps(found, indent=1)
    for width, height in SIZES:  # charts take their column's width a moment later; what counts is where the page settles
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    assert not foreign
    # On an address with a path, Streamlit's page first asks below that path where its server is: two answers of 404 there.
    assert not [text for text in wrong if f"/{screen}/_stcore/" not in text]


@pytest.mark.slow
@pytest.mark.browser
def test_the_presenters_switch_makes_what_counts_larger_and_stays(address: str, browser: Browser):
    page = opened(browser, address, "metrics", (1920, 1080))
    size = "node => parseFloat(getComputedStyle(node).fontSize)"
    heading, tick = page.get_by_role("heading", name="patients are outlined"), page.locator(".js-plotly-plot .xtitle").first
    before, ticks = heading.evaluate(size), tick.evaluate(size)
    switch = page.get_by_text("Presenter", exact=True)
    box, last = switch.bounding_box(), page.get_by_role("link", name="About").first.bounding_box()
    assert box is not None and last is not None and box["x"] > last["x"] + last["width"]  # in the menu, over none of its links
    switch.click()
    expect(page.get_by_test_id("stCaptionContainer").first).to_be_hidden(timeout=SLOW)
    page.reload()
    wait_until_drawn(page, "metrics")
    assert heading.evaluate(size) == pytest.approx(1.5 * before) and tick.evaluate(size) >= 1.25 * ticks
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_on_a_phone_the_networks_run_down_and_the_menu_closes_once_a_screen_is_chosen(address: str, browser: Browser):
    page = opened(browser, address, "about", (390, 844))
    boxes = page.locator(".flow .box")  # the way through the networks runs down
    tops = boxes.evaluate_all("boxes => boxes.map(box => box.getBoundingClientRect().top)")
    assert len(tops) == 5 and tops[:3] == sorted(tops[:3])
    assert boxes.evaluate_all("boxes => Math.min(...boxes.map(box => parseFloat(getComputedStyle(box).fontSize)))") >= 14
    expect(page.get_by_text("Presenter", exact=True)).to_be_hidden()
    page.get_by_test_id("stExpandSidebarButton").click()
    links = page.get_by_test_id("stSidebarNavLink")
    expect(links.first).to_be_visible()
    assert links.evaluate_all("links => Math.min(...links.map(link => link.getBoundingClientRect().height))") >= 44
    links.filter(has_text="Evaluate").click()
    wait_until_drawn(page, "evaluate")
    for _ in range(2):
        page.wait_for_function("document.querySelector('[data-testid=stSidebar]').getBoundingClientRect().right <= 0")
        page.reload()
        wait_until_drawn(page, "evaluate")
    page.close()


@pytest.mark.browser
def test_the_samples_are_one_stop_of_the_tab_key_and_arrows_go_between_them(address: str, browser: Browser):
    page = opened(browser, address, "single-image", (1280, 720))
    stops = page.locator('.st-key-gallery button[tabindex="0"]:visible')
    expect(stops).to_have_count(1)
    first = stops.inner_text()
    stops.focus()
    page.keyboard.press("ArrowRight")
    expect(stops).not_to_have_text(first)
    expect(stops).to_be_focused()
    expect(page.get_by_text(f"Simulated sample: {stops.inner_text()}")).to_be_visible(timeout=SLOW)
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_the_menu_switches_to_dark_and_every_word_stays_legible(address: str, browser: Browser):
    page = opened(browser, address, "", (1280, 720))
    page.get_by_test_id("stMainMenuButton").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    app = page.get_by_test_id("stApp")
    expect(app).to_have_css("color-scheme", "dark")
    expect(page.get_by_test_id("stBaseButton-primary").get_by_text("Try it")).to_have_css("color", "rgb(14, 21, 27)")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Single image").first.click()
    wait_until_drawn(page, "single-image")
    expect(app).to_have_css("color-scheme", "dark")
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_a_table_is_whole_on_a_phone(address: str, browser: Browser):
    page = opened(browser, address, "comparison", (390, 844))
    table, wide = page.locator(".st-key-narrow_comparison table"), page.locator(".st-key-wide_comparison")
    expect(table).to_contain_text("0.849")  # without its interval
    assert table.evaluate("table => table.scrollWidth <= innerWidth") and "[" not in table.inner_text()
    expect(wide).to_be_hidden()
    page.set_viewport_size({"width": 1280, "height": 720})
    expect(wide).to_be_visible()
    expect(table).to_be_hidden()
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_no_screen_is_longer_than_three_heights(address: str, browser: Browser):
    for screen in LANDMARKS:
        page = opened(browser, address, screen, (1280, 720))
        page.wait_for_timeout(1000)
        height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
        page.close()
        assert height <= 3.05 * 720, f"{screen}: {height} pixels"


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_without_webgl2_gets_slices_and_is_told(address: str, browser: Browser):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(
        "const real = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) "
        "{ return kind === 'webgl2' ? null : real.call(this, kind, ...rest); };"
    )
    page.goto(f"{address}/volume")
    page.get_by_role("button", name="With a tumour").click(timeout=SLOW)
    expect(page.get_by_text("This browser has no WebGL2")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("slider", name="Slice, from the foot")).to_be_visible()
    expect(page.get_by_alt_text("Axial slice", exact=False)).to_be_visible()
    page.close()


Command = Callable[..., subprocess.CompletedProcess[str]]


def test_every_place_says_the_same_about_every_sample_and_a_patient(command: Command, kaggle: Path, tmp_path: Path):
    patient = sorted((kaggle / "kaggle_3m").glob("*/*_2.tif"))[0]
    pictures = {sample.name: sample.png for sample in load_samples()} | {patient.stem: patient.read_bytes()}
    suffixes = {name: ".tif" if name == patient.stem else ".png" for name in pictures}
    files = []
    for name, content in pictures.items():
        files.append(tmp_path / f"{name}{suffixes[name]}")
        files[-1].write_bytes(content)
    done = command("predict", *files, "--out", tmp_path / "out")
    lines = {Path(line["file"]).stem: line["verdict"] for line in map(json.loads, done.stdout.splitlines())}
    pipeline, samples = bundled(), {sample.name: sample for sample in load_samples()}
    for name, content in pictures.items():
        file = ImageFile(f"{name}{suffixes[name]}", content, name)
        scan = predictions.decode(file)
        prediction = pipeline.predict(scan.slices[0], segment_all=True, spacing=scan.spacing)
        words = {
            "command line": lines[name],
            "table": predictions.row_of(file)["verdict"],
            "viewer": verdict(prediction).headline,
            "report": json.loads(report(name, prediction, "m", None, None))["verdict"],
        }
        if name in samples:
            _, judged = case_slide(samples[name].image, samples[name].mask, prediction, "").steps
            words["slideshow"] = judged.title.partition(". ")[0]
        assert len(set(words.values())) == 1, (name, words)
        if name in samples and samples[name].kind == "none":
            assert words["viewer"] == "No tumour found" and prediction.gated


def test_the_app_opens_with_a_sample_that_is_outlined():
    app = open_app("about")
    assert (
        not app.exception and any("flow" in block.body for block in app.get("html")) and "@inproceedings" in app.code[0].value
    )
