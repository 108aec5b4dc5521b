"""A picture of every screen, taken in headless Chromium from the bundled samples: writes docs/<screen>.png.

    python -m docs.screenshots

Needs the development requirements and Chromium (`make test` installs both).
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.browser import LANDMARKS, SLOW, browsing, wait_until_drawn
from benchmarks.server import serving

DOCS = Path(__file__).resolve().parent


def main() -> None:
    """Take the pictures."""
    with serving() as server, browsing() as browser:
        for screen in LANDMARKS:
            page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme="light")
            page.goto(f"{server.address}/{screen}")
            wait_until_drawn(page, screen)
            if screen == "volume":
                page.get_by_role("button", name="With a tumour").click()
                page.get_by_role("heading", name="Tumour found").wait_for(timeout=SLOW)
                page.wait_for_timeout(10_000)  # three planes and a rendering, without a graphics card
            page.wait_for_timeout(3_000)  # pictures and charts fade in
            page.screenshot(path=DOCS / f"{screen or 'overview'}.png")


if __name__ == "__main__":
    main()
