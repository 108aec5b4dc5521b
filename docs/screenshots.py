"""A picture of every screen, taken in headless Chromium from the bundled samples: writes docs/<screen>.png.

    python docs/screenshots.py

Needs the development requirements and Chromium (`make test` installs both).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent
PORT = 8766
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


def wait_for(url: str, seconds: float = 60) -> None:
    """Return once `url` answers; raise TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer")


def main() -> None:
    """Take the pictures."""
    env = {name: value for name, value in os.environ.items() if name != "LGG_DATA"}  # no data set pixel in a picture
    address = f"http://127.0.0.1:{PORT}"
    line = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(PORT), "--server.address", "127.0.0.1"]
    with subprocess.Popen(line, cwd=DOCS.parent, env=env, stdout=subprocess.DEVNULL) as server, sync_playwright() as playwright:
        wait_for(f"{address}/_stcore/health")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, (path, text) in SCREENS.items():
            page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme="light")
            page.goto(f"{address}/{path}")
            page.get_by_text(text).first.wait_for(timeout=60_000)
            page.wait_for_timeout(3_000)  # pictures and charts fade in
            page.screenshot(path=DOCS / f"{name}.png")
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
