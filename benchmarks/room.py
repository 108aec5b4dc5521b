"""A room full of phones: everybody draws five rounds, and a speaker's screen shows all of them.

    python -m benchmarks.room [--players 10] [--minutes 1.5]

Opens a page of a phone's size for every player in headless Chromium, and one of a projector's; prints how long players waited
for their scores after Done, and how many met an error. Browser and server share this machine's cores: on two of them ten phones
are as many as one browser draws in time. Nothing else should run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time

import numpy as np
from playwright.async_api import Browser, Page, async_playwright, expect

from benchmarks.browser import CHROMIUM, FLAGS, SLOW, VIEWPORT
from benchmarks.server import serving

PHONE = {"width": 390, "height": 844}
ROUNDS = 5
LONG = 60_000  # milliseconds that a player waits for anything


async def open_room(browser: Browser, address: str) -> tuple[Page, str]:
    """The speaker's page, and where players go."""
    stage = await browser.new_page(viewport=VIEWPORT)
    await stage.goto(f"{address}/play")
    await stage.get_by_role("button", name="Play with the room").click(timeout=SLOW)
    link = await stage.get_by_role("link", name="?room=").get_attribute("href", timeout=SLOW)
    assert link is not None
    return stage, link


async def draw(page: Page, rng: random.Random) -> None:
    """Circle something."""
    box = await page.locator(".stage canvas").bounding_box()
    assert box is not None
    x, y, side = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.3)
    points = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    points = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in points]
    await page.mouse.move(*points[0])
    await page.mouse.down()
    for point in points[1:]:
        await page.mouse.move(*point, steps=4)
    await page.mouse.up()


async def play(browser: Browser, link: str, rng: random.Random, pause: float, waits: list[float]) -> None:
    """One player's game, of which the waits for scores are kept."""
    page = await browser.new_page(viewport=PHONE)
    await page.goto(link)
    begin = page.get_by_role("button", name="Start")
    for number in range(ROUNDS):
        await begin.click(timeout=LONG)
        await draw(page, rng)
        started = time.perf_counter()
        await page.get_by_role("button", name="Done").click(timeout=LONG)
        await expect(page.locator(".number")).not_to_have_count(0, timeout=LONG)
        waits.append(time.perf_counter() - started)
        begin = page.get_by_role("button", name="Next slice")
        if number < ROUNDS - 1:
            await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
    if await page.get_by_text("encountered an error").count():
        raise RuntimeError("the app met an error")


async def measure(players: int, minutes: float) -> None:
    """Print the figures."""
    waits: list[float] = []
    with serving() as server:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            stage, link = await open_room(browser, server.address)
            pause = 60 * minutes / ROUNDS
            games = []
            for number in range(players):
                games.append(asyncio.create_task(play(browser, link, random.Random(number), pause, waits)))
                await asyncio.sleep(pause / players)
            outcomes = await asyncio.gather(*games, return_exceptions=True)
            errors = [outcome for outcome in outcomes if outcome is not None]
            shown = await stage.get_by_text("Median player").count()
            await browser.close()
    print(f"{players} players, {len(waits)} scores, {len(errors)} errors; the speaker's screen shows the median: {bool(shown)}")
    print(f"from Done to the score, s: {np.median(waits):.2f} at the median, {np.percentile(waits, 95):.2f} for 95 of 100")
    for error in errors[:5]:
        print(str(error).splitlines()[0])


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1.5)
    options = parser.parse_args()
    asyncio.run(measure(options.players, options.minutes))


if __name__ == "__main__":
    main()
