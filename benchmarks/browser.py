"""Headless Chromium for benchmarks, browser tests and screenshots, and when a screen counts as drawn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")  # else Playwright's own
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
VIEWPORT = {"width": 1920, "height": 1080}  # a projector
SLOW = 60_000  # milliseconds; the first visitor waits for the models to load
# Address of every screen, and a text that is there once it is drawn to its end.
LANDMARKS = {
    "": "Research use only",
    "single-image": "% of the slice",
    "volume": "Or open a simulated sample",
    "slideshow": "Download the show",
    "play": "Play with the room",
    "evaluate": "Evaluate your own data",
    "metrics": "Every patient and every tumour slice",
    "comparison": "Reported elsewhere",
    "cases": "most wrong pixels first",
    "training": "Dotted: training",
    "about": "What every measure means",
}
QUIET = """() => !document.querySelector('[data-testid=stSkeleton], [data-testid=stSpinner]')
    && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))
    && document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"""


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser, closed at the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def wait_until_drawn(page: Page, screen: str) -> None:
    """Return when the screen shows its landmark, every chart its picture, and nothing more is on its way."""
    expect(page.get_by_text(LANDMARKS[screen]).first).to_be_visible(timeout=SLOW)
    page.wait_for_function(QUIET, timeout=SLOW)
