"""A room full of phones: everybody draws five rounds, and a speaker's screen shows all of them.

    python -m benchmarks.room [--players 50] [--minutes 5]

Opens the speaker's page and one player's, of a phone's size, in headless Chromium; the other players speak the websocket
protocol as a browser would (`benchmarks.visitors`), since that many pages would fight for this machine's cores. Prints how long
players waited for their scores, and how many met an error. Nothing else should run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time

import psutil
from playwright.async_api import Browser, Page, async_playwright, expect

from benchmarks.browser import CHROMIUM, FLAGS, SLOW, VIEWPORT
from benchmarks.server import serving
from benchmarks.visitors import Record, visiting

PHONE = {"width": 390, "height": 844}
ROUNDS = 5
SEEN = "score in the browser"
SETTLED = 3.0  # seconds after which the speaker's picture is new


async def open_room(browser: Browser, address: str) -> tuple[Page, str]:
    """The speaker's page, and where players go."""
    stage = await browser.new_page(viewport=VIEWPORT)
    await stage.goto(f"{address}/play")
    await stage.get_by_role("button", name="Play with the room").click(timeout=SLOW)
    link = await stage.get_by_role("link", name="?room=").get_attribute("href", timeout=SLOW)
    assert link is not None
    return stage, link


def square(rng: random.Random) -> list[tuple[float, float]]:
    """A drawn outline, in shares of width and height."""
    x, y, side = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.3)
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


async def draw(page: Page, rng: random.Random) -> None:
    """Circle something by mouse."""
    box = await page.locator(".stage canvas").bounding_box()
    assert box is not None
    points = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in square(rng)]
    await page.mouse.move(*points[0])
    await page.mouse.down()
    for point in points[1:]:
        await page.mouse.move(*point, steps=4)
    await page.mouse.up()


async def play_by_page(browser: Browser, link: str, pause: float, record: Record) -> None:
    """The game of the player whose phone is a page of the browser; in the middle of it the page is loaded again."""
    rng = random.Random(0)
    page = await browser.new_page(viewport=PHONE)
    await page.goto(link)
    begin = page.get_by_role("button", name="Start")
    for number in range(ROUNDS):
        await begin.click(timeout=SLOW)
        await draw(page, rng)
        started = time.perf_counter()
        await page.get_by_role("button", name="Done").click(timeout=SLOW)
        await expect(page.locator(".number")).not_to_have_count(0, timeout=SLOW)
        record.seconds[SEEN].append(time.perf_counter() - started)
        await asyncio.sleep(rng.uniform(0.5, 1) * pause)
        begin = page.get_by_role("button", name="Next slice")
        if number == ROUNDS // 2:
            await page.reload()
    if await page.get_by_text("encountered an error").count():
        record.errors.append("the app met an error")


async def play(number: int, address: str, query: str, pause: float, record: Record) -> None:
    """Another player's game."""
    async with visiting(number, address, record) as (visitor, rng):
        await visitor.enter_room(query)
        for turn in range(ROUNDS):
            await asyncio.sleep(rng.uniform(0.5, 1) * pause)
            await visitor.draw(turn, square(rng))


async def measure(players: int, minutes: float) -> None:
    """Print the figures."""
    record, pause = Record(), 60 * minutes / ROUNDS
    with serving() as server:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            stage, link = await open_room(browser, server.address)
            others = [play(number, server.address, link.partition("?")[2], pause, record) for number in range(1, players)]
            await asyncio.gather(play_by_page(browser, link, pause, record), *others)
            await asyncio.sleep(SETTLED)
            drawn = await stage.get_by_text("Median player").inner_text()
            here = await stage.get_by_text(f"{players} here").count()
            await browser.close()
        memory = psutil.Process(server.process.pid).memory_info().rss / 1e6
    record.print_table()
    print(f"\n{players} players, {minutes:g} minutes: {len(record.errors)} errors, {record.lost} lost scores; {memory:.0f} MB")
    print(f"the speaker's screen: {drawn}, everybody counted: {bool(here)}")
    for error in sorted(set(record.errors)):
        print(f"  {error}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    asyncio.run(measure(options.players, options.minutes))


if __name__ == "__main__":
    main()
