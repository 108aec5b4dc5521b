"""A picture of every screen, taken in headless Chromium from the bundled samples: writes docs/<screen>.png.

    python -m docs.screenshots

Needs the development requirements and Chromium (`make test` installs both).
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.browser import LANDMARKS, browsing, wait_until_drawn
from benchmarks.server import serving

DOCS = Path(__file__).resolve().parent


def main() -> None:
    """Take the pictures."""
    with serving() as server, browsing() as browser:
        for screen in LANDMARKS.keys() - {"volume"}:  # empty without a patient's files
            page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme="light")
            page.goto(f"{server.address}/{screen}")
            wait_until_drawn(page, screen)
            page.wait_for_timeout(3_000)  # pictures and charts fade in
            page.screenshot(path=DOCS / f"{screen or 'overview'}.png")


if __name__ == "__main__":
    main()
