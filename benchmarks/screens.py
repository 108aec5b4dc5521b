"""Every screen in a browser: seconds until it is drawn, cold and warm, and from a slider to the new picture.

    python -m benchmarks.screens

Cold is a server's first visit, by a browser that has never been there: as soon as the server answers, and when it has been
left to itself for some seconds, in which it loads the models. Then the same address again, and a click in the app's menu.
Nothing else should run.
"""

from __future__ import annotations

import time

import numpy as np
from playwright.sync_api import Browser, Locator, Page

from benchmarks.browser import LANDMARKS, VIEWPORT, browsing, wait_until_drawn
from benchmarks.server import serving
from resunet.catalogue import list_runs

VISITS = 5
ALONE = 12  # seconds after which the server has prepared all that it prepares
MOVES = 20
REST = "evaluate", "cases"  # where a visitor comes from: the first, or the second on the way to the first


def seconds_to_open(page: Page, address: str, screen: str) -> float:
    """The wait for one screen by its address."""
    started = time.perf_counter()
    page.goto(f"{address}/{screen}")
    wait_until_drawn(page, screen)
    return time.perf_counter() - started


def seconds_of_first_visit(browser: Browser, screen: str, alone: float) -> float:
    """The wait for one screen of a server that answers since `alone` seconds and has had no visitor."""
    with serving() as server:
        time.sleep(alone)
        page = browser.new_page(viewport=VIEWPORT)
        waited = seconds_to_open(page, server.address, screen)
        page.close()
    return waited


def seconds_to_turn(page: Page, screen: str) -> float:
    """The wait for one screen after a click in the menu."""
    rest = next(name for name in REST if name != screen)
    menu_entry(page, rest).click()
    wait_until_drawn(page, rest)
    started = time.perf_counter()
    menu_entry(page, screen).click()
    wait_until_drawn(page, screen)
    return time.perf_counter() - started


def menu_entry(page: Page, screen: str) -> Locator:
    """The screen's link at the top."""
    return page.get_by_role("link", name=(screen or "overview").replace("-", " ").capitalize(), exact=True)


def seconds_to_move(page: Page, slider: str, watched: str) -> float:
    """Median seconds from a key on a slider until the text of the element `watched` has changed."""
    times = []
    for step in range(MOVES):
        shown = page.locator(watched).first
        before = shown.inner_text()
        page.get_by_role("slider", name=slider).focus()
        started = time.perf_counter()
        page.keyboard.press("Home" if step % 2 else "End")
        page.wait_for_function("([node, text]) => node.innerText !== text", arg=[shown.element_handle(), before])
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def main() -> None:
    """Print the tables."""
    print(f"{len(list_runs())} model folders\n\n| screen | just started s | first visit s | again s | by the menu s |")
    print("| --- | --- | --- | --- | --- |")
    with browsing() as browser:
        browser.new_page().close()  # the browser's own start is not the app's
        for screen in LANDMARKS:
            times = [seconds_of_first_visit(browser, screen, alone) for alone in (0, ALONE)]
            with serving() as server:
                page = browser.new_page(viewport=VIEWPORT)
                seconds_to_open(page, server.address, screen)
                again = [seconds_to_open(page, server.address, screen) for _ in range(VISITS)]
                turned = [seconds_to_turn(page, screen) for _ in range(VISITS)]
                page.close()
            times += [float(np.median(again)), float(np.median(turned))]
            print(" | ".join([f"| {screen or 'overview'}", *(f"{seconds:.2f}" for seconds in times)]), "|", flush=True)
        with serving() as server:
            page = browser.new_page(viewport=VIEWPORT)
            page.goto(f"{server.address}/metrics?evaluation=test")
            wait_until_drawn(page, "metrics")
            page.get_by_text("Threshold, gate and filters").click()
            moved = seconds_to_move(page, "Threshold", "[data-testid=stMetricValue]")
            print(f"\nthreshold on Metrics to new figures: {moved * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
