"""A picture of every screen, taken in headless Chromium from the bundled samples: writes docs/<screen>.png.

    python -m docs.screenshots

Needs the development requirements and Chromium (`make test` installs both).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.server import serving

DOCS = Path(__file__).resolve().parent
SCREENS = {  # file name: address, and a text that is there once the screen is drawn
    "overview": ("", "% of the slice"),
    "single-image": ("single-image", "% of the slice"),
    "stage": ("stage", "The show as one file"),
    "evaluate": ("evaluate", "Evaluate your own data"),
    "metrics": ("metrics", "Where the two stages lose and invent pixels"),
    "comparison": ("comparison", "Reported elsewhere"),
    "cases": ("cases", "worst first"),
    "training": ("training", "outlined after each epoch"),
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    """Take the pictures."""
    with serving() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, (path, text) in SCREENS.items():
            page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme="light")
            page.goto(f"{server.address}/{path}")
            page.get_by_text(text).first.wait_for(timeout=60_000)
            page.wait_for_timeout(3_000)  # pictures and charts fade in
            page.screenshot(path=DOCS / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
