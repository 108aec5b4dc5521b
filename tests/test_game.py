"""You against the network: what is drawn is checked and scored like a mask, and a room keeps people apart and ends."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import SLOW
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.game.room import MOST_PLAYERS, MOST_ROOMS, SECONDS, Room, Rooms
from resunet.game.scoring import MOST_POINTS, checked_outline, filled, outlines_of, score
from resunet.reports.case_report import score_slice
from tests.conftest import open_app
from tests.test_app import fresh_caches  # noqa: F401 (fixture)

SQUARE = checked_outline([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
NOTHING = checked_outline([])


def test_an_outline_becomes_the_pixels_inside_and_their_dice():
    truth = np.zeros((64, 64), bool)
    truth[16:48, 16:32] = True
    mask = filled(SQUARE, (64, 64))
    assert mask[16:48, 16:48].all() and mask.sum() <= 33 * 33
    assert score(mask, truth) == score_slice(mask, truth).dice == pytest.approx(2 * 512 / (mask.sum() + 512))
    assert score(filled(NOTHING, (64, 64)), np.zeros((64, 64), bool)) == 1 and score(mask, np.zeros((64, 64), bool)) == 0


def test_the_outlines_of_a_mask_give_the_mask_again():
    for sample in load_samples()[:12:3]:
        again = np.zeros_like(sample.mask)
        for outline in outlines_of(sample.mask):
            again |= filled(checked_outline(outline), sample.mask.shape)
        assert score(again, sample.mask) > 0.98


@pytest.mark.parametrize(
    "points", ["x", [[1]], [["a", "b"]], {"x": 1}, [[float("nan"), 0]], [[0, float("inf")]], [[0, 0]] * (MOST_POINTS + 1)]
)
def test_what_is_no_outline_gets_a_sentence(points: object):
    with pytest.raises(InputError, match="An outline"):
        checked_outline(points)


def test_outlines_stay_within_the_picture():
    assert checked_outline([[-5, 0.5], [0.5, 7]]).tolist() == [[0, 0.5], [0.5, 1]]


def test_a_player_keeps_name_and_place_and_draws_each_round_once():
    room = Room(2)
    key, player = room.join(None)
    assert room.join(key) == (key, player) and room.join("somebody else's")[0] != key
    room.submit(key, 0, SQUARE, 0.5)
    room.submit(key, 0, NOTHING, 1.0)  # again, or for a round that is not next
    room.submit(key, 2, NOTHING, 1.0)
    room.submit("unknown", 1, NOTHING, 1.0)
    assert player.scores == [0.5] and len(room.outlines(0)) == 1 and room.median(0) == 0.5 and room.median(1) is None
    room.submit(key, 1, NOTHING, 1.0)
    room.submit(key, 2, NOTHING, 1.0)
    assert player.scores == [0.5, 1.0] and room.players[0] is player


def test_fifty_people_at_once_are_fifty_players():
    room = Room(5)

    def plays(number: int) -> str:
        key, player = room.join(None)
        for at in range(5):
            room.submit(key, at, SQUARE, number / 50)
        return player.name

    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(plays, range(50)))
    assert len(set(names)) == len(room.players) == 50 and all(len(player.scores) == 5 for player in room.players)
    assert room.median(3) == pytest.approx(0.49)


def test_rooms_are_limited_and_end():
    now = [0.0]
    rooms = Rooms(lambda: now[0])
    room = rooms.open(5)
    assert rooms.find(f" {room.code.lower()} ") is room
    for _ in range(MOST_ROOMS - 1):
        rooms.open(5)
    with pytest.raises(InputError, match="rooms are open"):
        rooms.open(5)
    for _ in range(MOST_PLAYERS):
        room.join(None)
    with pytest.raises(InputError, match="full"):
        room.join(None)
    now[0] = SECONDS + 1
    with pytest.raises(InputError, match="not open"):
        rooms.find(room.code)
    rooms.open(5)


def test_a_room_that_is_not_open_gets_a_sentence():
    app = open_app("play")
    app.query_params["room"] = "NONE1"
    app.run()
    assert not app.exception and "This room is not open" in app.error[0].value


def drawn(page: Page) -> None:
    """Circle what is left of the middle of the board."""
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    corners = [(0.25, 0.25), (0.5, 0.25), (0.5, 0.5), (0.25, 0.5)]
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


@pytest.mark.slow
@pytest.mark.browser
def test_a_room_plays_on_phones_and_the_stage_shows_them(address: str, browser: Browser):
    stage = browser.new_page(viewport={"width": 1920, "height": 1080})
    stage.goto(f"{address}/play")
    stage.get_by_role("button", name="Play with the room").click(timeout=SLOW)
    link = stage.get_by_role("link", name="?room=").get_attribute("href", timeout=SLOW)
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(link)
    phone.get_by_role("button", name="Start").click(timeout=SLOW)
    drawn(phone)
    phone.get_by_role("button", name="Done").click()
    expect(phone.locator(".number")).to_have_count(3, timeout=500)
    mine, name = phone.locator(".number b").first.inner_text(), phone.locator(".round").inner_text()
    phone.reload()
    expect(phone.locator(".number b").first).to_have_text(mine, timeout=SLOW)
    assert phone.locator(".round").inner_text() == name and not phone.evaluate("document.documentElement.scrollWidth > 390")
    expect(stage.get_by_text(f"Median player {mine}")).to_be_visible(timeout=SLOW)
    phone.close()
    stage.close()
