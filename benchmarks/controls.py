"""Every control of every screen: seconds until the picture it asks for is drawn, and how long the server answers nobody else.

    python -m benchmarks.controls [--screens metrics,comparison] [--slowest 40]

Opens the screens in headless Chromium and moves what a visitor can move: sliders, buttons, choices, lists, tabs and rows,
those inside every tab too, twice each. The time ends with the last change of the page. Meanwhile somebody else asks the
server for its health again and again; their longest wait is what the action held up. Nothing else should run.
"""

from __future__ import annotations

import argparse
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from playwright.sync_api import ElementHandle, Error, Page

from benchmarks.browser import LANDMARKS, QUIET, SLOW, VIEWPORT, browsing, wait_until_drawn
from benchmarks.server import serving

PROMISED = 0.3  # seconds
SETTLED = 500  # milliseconds without a change
PAUSE = 0.05  # seconds between two questions of somebody else
WATCH = """() => {
    window.changed = window.begun = performance.now();
    const begin = () => { window.begun = performance.now(); };
    for (const kind of ['pointerdown', 'keydown']) document.addEventListener(kind, begin, true);
    // Inside a canvas is the copy of a table that screen readers read, made when nothing else is left to do.
    const seen = ({ target }) => !(target.closest ? target : target.parentElement)?.closest('canvas');
    new MutationObserver((changes) => { if (changes.some(seen)) window.changed = performance.now(); }).observe(
        document.querySelector('[data-testid=stMain]'),
        { childList: true, characterData: true, attributes: true, subtree: true });
}"""
STILL = f"""() => ({QUIET})() && performance.now() - Math.max(window.changed, window.begun) > {SETTLED}"""
# What a visitor can move, outside of drawings, by the kind of Streamlit's elements. Those that leave the screen are not there.
CONTROLS = {
    "slider": "[data-testid=stSlider] input[type=range]",
    "choice": "[data-testid=stButtonGroup] button",
    "toggle": "[data-testid=stCheckbox] label",
    "button": "[data-testid=stButton] button:not([disabled])",
    "number": "[data-testid=stNumberInput] input",
    "list": "[data-testid=stSelectbox] input, [data-testid=stMultiSelect] input",
    "rows": "[data-testid=stDataFrame]",
}
# A screen that has two faces: its other address, and the text that is there once it is drawn.
ALSO = {"metrics?model=resnet50": "ROC curve"}
# What is opened before the controls are there: a button, and a text that follows.
FIRST = {"volume": ("With a tumour", "Along the head")}
ROWS_SELECT = "cases"  # the screen whose table is a control
NAME = """node => {
    const place = node.closest('[data-testid^=st][class*=stElementContainer], [class*=st-key-]') || node.parentElement;
    const key = (place.className.match(/st-key-([\\w-]+)/) || ['', ''])[1];
    return [key, node.getAttribute('aria-label') || node.innerText || ''].filter(Boolean).join(': ').replaceAll('\\n', ' ');
}"""


class Wait(NamedTuple):
    """How long a control's picture took, and the longest wait of somebody else meanwhile; both in seconds."""

    screen: str
    control: str
    seconds: float
    held: float


class Neighbour:
    """Somebody else, who asks the server for its health without a pause."""

    def __init__(self, address: str) -> None:
        self.address, self.longest, self.stays = address, 0.0, True

    def ask(self) -> None:
        """Ask until the end of the stay."""
        while self.stays:
            started = time.perf_counter()
            urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=60).read()
            self.longest = max(self.longest, time.perf_counter() - started)
            time.sleep(PAUSE)


@contextmanager
def neighbour(address: str) -> Iterator[Neighbour]:
    """Somebody else at the same server."""
    one = Neighbour(address)
    thread = threading.Thread(target=one.ask)
    thread.start()
    yield one
    one.stays = False
    thread.join()


def seconds_to_settle(page: Page, act: Callable[[], object]) -> float:
    """From an action to the last change of the page."""
    act()
    page.wait_for_function(STILL, timeout=SLOW)
    return max(0.0, float(page.evaluate("() => window.changed - window.begun"))) / 1e3


def actions(page: Page, kind: str, node: ElementHandle) -> list[tuple[str, Callable[[], object]]]:
    """What to do with a control, twice or once for each thing it offers."""
    name = str(node.evaluate(NAME))[:60]
    if kind == "slider":
        node.focus()
        return [(f"{name}, {key}", lambda key=key: page.keyboard.press(key)) for key in ("End", "Home")]
    if kind == "number":
        return [(f"{name}, {value}", lambda value=value: enter(page, node, value)) for value in ("3", "5")]
    if kind == "rows":
        box = node.bounding_box()
        if box is None or not page.url.split("?")[0].endswith(ROWS_SELECT):
            return []
        return [
            (f"{name}, row {row}", lambda row=row: page.mouse.click(box["x"] + 60, box["y"] + 35 * row + 17)) for row in (2, 3)
        ]
    if kind == "list":
        return [(f"{name}, option {number}", lambda number=number: choose(page, node, number)) for number in (1, 0)]
    return [(name, lambda: node.click(timeout=2000))] * 2


def enter(page: Page, node: ElementHandle, value: str) -> None:
    """Type a number; the clock starts with the last key."""
    node.fill(value)
    page.keyboard.press("Enter")


def choose(page: Page, node: ElementHandle, number: int) -> None:
    """Choose from a list by its number."""
    options = page.locator("[role=option]")
    node.focus()
    page.keyboard.press("ArrowDown")
    options.first.wait_for(timeout=2000)
    options.nth(min(number, options.count() - 1)).click()


def measured(page: Page, screen: str, one: Neighbour, place: str = "[data-testid=stMain]") -> Iterator[Wait]:
    """Every control that is now in a place of the screen."""
    here = page.url.split("?")[0]
    for kind, where in CONTROLS.items():
        count = page.locator(f"{place} :is({where})").count()
        for turn in range(2):
            for number in range(count):
                nodes = page.locator(f"{place} :is({where})")
                if number >= nodes.count() or not nodes.nth(number).is_visible():
                    continue
                try:
                    choices = actions(page, kind, nodes.nth(number).element_handle())
                    if turn >= len(choices):
                        continue
                    name, act = choices[turn]
                    one.longest = 0
                    yield Wait(screen, f"{kind} {name}", seconds_to_settle(page, act), one.longest)
                except Error as error:
                    print(f"{screen}, {kind} {number}: {error.message.splitlines()[0]}")
                    page.keyboard.press("Escape")
                if page.url.split("?")[0] != here:
                    return


def walk(page: Page, address: str, screen: str, one: Neighbour) -> Iterator[Wait]:
    """A screen's controls, then its tabs, each with what it brings."""

    def reopen() -> None:
        page.goto(f"{address}/{screen}")
        if screen in ALSO:
            page.get_by_text(ALSO[screen], exact=True).wait_for(timeout=SLOW)
        else:
            wait_until_drawn(page, screen)
        if screen in FIRST:
            page.get_by_role("button", name=FIRST[screen][0], exact=True).click()
            page.get_by_text(FIRST[screen][1]).wait_for(timeout=SLOW)
        page.evaluate(WATCH)
        page.wait_for_function(STILL, timeout=SLOW)

    reopen()
    tabs = page.locator("[data-testid=stMain] [role=tab]").all_inner_texts()
    yield from measured(page, screen, one)
    for tab in tabs[1:]:
        reopen()
        one.longest = 0
        opened = page.get_by_role("tab", name=tab, exact=True)
        yield Wait(screen, f"tab {tab}", seconds_to_settle(page, opened.click), one.longest)
        yield from measured(page, f"{screen}, {tab}", one, "[role=tabpanel]")


def main() -> None:
    """Print the slowest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--screens", default=",".join([*(name or "overview" for name in LANDMARKS), *ALSO]))
    parser.add_argument("--slowest", type=int, default=40)
    options = parser.parse_args()
    waits: list[Wait] = []
    with browsing() as browser, serving() as server, neighbour(server.address) as one:
        page = browser.new_page(viewport=VIEWPORT)
        for screen in options.screens.split(","):
            waits += walk(page, server.address, screen.replace("overview", ""), one)
    print(f"{len(waits)} waits\n\n| screen | control | s | held s |\n| --- | --- | --- | --- |")
    for wait in sorted(waits, key=lambda wait: -wait.seconds)[: options.slowest]:
        print(f"| {wait.screen} | {wait.control} | {wait.seconds:.2f} | {wait.held:.2f} |")
    seconds = sorted(wait.seconds for wait in waits)
    print(f"half within {seconds[len(seconds) // 2]:.2f} s, {sum(one <= PROMISED for one in seconds)} within {PROMISED} s")
    print(f"longest hold: {max(wait.held for wait in waits):.2f} s")


if __name__ == "__main__":
    main()
