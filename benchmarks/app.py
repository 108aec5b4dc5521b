"""The app from a visitor's chair: time to the first page, to the first verdict, to a redraw, and the server's memory.

    python -m benchmarks.app [--inferences 50]

Starts the server, opens it in headless Chromium, clicks through the samples and uploads slices that it has not seen, and
prints a table. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from benchmarks.browser import SLOW, VIEWPORT, browsing
from benchmarks.server import launched
from resunet.data.samples import load_samples

REDRAWS = 20


def resident_mb(pid: int) -> float:
    """Resident memory of the server and its children in MB."""
    root = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)]) / 1e6


def first_page(page: Page, address: str, started: float) -> float:
    """Seconds from the start of the server until the start page shows its title."""
    while True:
        try:
            page.goto(address)
            break
        except Exception:  # refused until the server listens
            page.wait_for_timeout(50)
    expect(page.get_by_role("heading", name="Brain-tumour segmentation")).to_be_visible(timeout=SLOW)
    return time.perf_counter() - started


def first_verdict(page: Page) -> float:
    """Seconds from the click on the start page until the first slice has its verdict."""
    started = time.perf_counter()
    page.get_by_role("button", name="Try it on a slice").click()
    expect(page.get_by_role("heading", name="Tumour found")).to_be_visible(timeout=SLOW)
    return time.perf_counter() - started


def sample_verdict(page: Page) -> float:
    """Seconds from a click on a sample until its verdict, models loaded."""
    started = time.perf_counter()
    page.get_by_role("button", name="Large 3", exact=True).click()
    expect(page.get_by_text("Simulated sample: Large 3")).to_be_visible(timeout=SLOW)
    return time.perf_counter() - started


def redraw(page: Page) -> float:
    """Median seconds from a key on the threshold slider until the verdict changed."""
    slider, figures = page.get_by_role("slider", name="Threshold"), page.get_by_text("% of the slice")
    slider.focus()
    times = []
    for step in range(REDRAWS):
        before = figures.inner_text()
        started = time.perf_counter()
        slider.press("Home" if step % 2 else "End")
        page.wait_for_function("([node, text]) => node.innerText !== text", arg=[figures.element_handle(), before])
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def viewer_alone() -> None:
    """A page of nothing but what a slider redraws; AppTest runs this function's source as a script."""
    from pages.common.slices import slice_panel as viewer
    from pages.common.slices.shown_slice import ShownSlice
    from resunet.data.samples import load_samples

    sample = load_samples()[0]
    viewer.show(ShownSlice(sample.name, sample.digest, 0, sample.image, sample.mask, simulated=True))


def redraw_on_server() -> float:
    """Median seconds that the server takes to redraw after the gate moved, without browser and network."""
    page = AppTest.from_function(viewer_alone, default_timeout=60).run()
    times = []
    for step in range(REDRAWS):
        page.slider(key="gate").set_value(0.6 if step % 2 else 0.3)
        started = time.perf_counter()
        page.run()
        times.append(time.perf_counter() - started)
    assert not page.exception
    return float(np.median(times))


def upload_many(page: Page, count: int, folder: Path) -> None:
    """Upload `count` slices, no two alike, one after the other, and wait for each verdict."""
    samples = load_samples()
    page.get_by_text("Upload", exact=True).click()
    for number in range(count):
        sample = samples[number % len(samples)]
        path = folder / f"visit{number}.png"
        Image.fromarray(np.roll(sample.image, number, axis=1)).save(path)
        page.locator("input[type=file]").set_input_files(path)
        expect(page.get_by_text(f"visit{number}.png. Orange line")).to_be_visible(timeout=SLOW)
        page.get_by_role("button", name=f"Remove visit{number}.png").click()
        expect(page.get_by_text(f"visit{number}.png")).to_have_count(0, timeout=SLOW)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--inferences", type=int, default=50)
    options = parser.parse_args()
    with browsing() as browser, tempfile.TemporaryDirectory() as folder:
        page = browser.new_page(viewport=VIEWPORT)
        started = time.perf_counter()
        with launched() as server:
            figures = {
                "first page after start, s": first_page(page, server.address, started),
                "first verdict after the click, models cold, s": first_verdict(page),
                "verdict after a click on a sample, s": sample_verdict(page),
                "redraw after a slider key, browser included, ms": redraw(page) * 1e3,
                "memory before the uploads, MB": resident_mb(server.process.pid),
            }
            upload_many(page, options.inferences, Path(folder))
            figures[f"memory after {options.inferences} uploads, MB"] = resident_mb(server.process.pid)
    figures["redraw after a slider key, the server's part, ms"] = redraw_on_server() * 1e3
    for name, value in figures.items():
        print(f"{name:52s} {value:8.2f}")


if __name__ == "__main__":
    main()
