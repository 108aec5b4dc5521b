"""What the Overview tells by itself: the head that is cut, and the Dice that falls."""

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import SLOW
from pages.common.stories import falling_dice, race
from resunet.catalogue import FLAGSHIP, VOLUME_MODEL, find_model
from resunet.reports.head_frames import head_data


def measured(run: str, metric: str) -> float:
    return find_model(run).summary("test")["metrics"][metric]["value"]


def test_the_four_figures_are_those_of_the_runs():
    first = falling_dice.available()[0]
    assert first["values"] == {
        "apart_patients": measured("resunet", "volume_dice_mean"),
        "apart_slices": measured("resunet", "all_slice_dice"),
        "mixed_patients": measured("resunet_slice", "volume_dice_mean"),
        "mixed_slices": measured("resunet_slice", "all_slice_dice"),
    }
    assert first["values"]["apart_patients"] < first["values"]["mixed_slices"] < first["reported"] == 0.98


@pytest.mark.browser
def test_the_head_is_cut_and_the_dice_falls_in_the_browser(address: str, page: Page):
    page.goto(address)
    level = page.get_by_role("slider", name="Level of the cut")
    level.focus(timeout=SLOW)
    figures = head_data()["volume_ml"]
    level.press("Home")
    expect(page.locator("[data-name=millilitres]")).to_have_text("0")
    foot = page.locator(".head canvas").screenshot()
    level.press("End")
    expect(page.locator("[data-name=millilitres]")).to_have_text(f"{figures[-1]:.0f}")
    assert page.locator(".head canvas").screenshot() != foot
    number = page.locator(".giant b")
    expect(number).to_have_text(f"{measured('resunet_slice', 'all_slice_dice'):.2f}", timeout=SLOW)
    page.get_by_label("keep patients apart").check()
    expect(number).to_have_text(f"{measured('resunet', 'all_slice_dice'):.2f}")
    page.get_by_label("average over patients").check()
    expect(number).to_have_text(f"{measured('resunet', 'volume_dice_mean'):.2f}")
    expect(page.get_by_text("not reproduced")).to_be_visible()


def test_the_race_ends_where_the_snapshots_do():
    folders = {name: find_model(name) for name in (VOLUME_MODEL, "resunet", FLAGSHIP, "unet")}
    data = race.race_data(tuple(race.Runner(name, name, folder.path, 0.0) for name, folder in folders.items()))
    assert [runner["name"] for runner in data["runners"]] == ["resunet", FLAGSHIP]  # a volume model has no pictures of slices
    for runner in data["runners"]:
        history = folders[runner["name"]].history()
        assert runner["epochs"] == len(history) == len(runner["curve"]) and runner["curve"][-1] == history["val_dice"].iloc[-1]
        assert all(len(outlines) == runner["epochs"] for outlines in runner["outlines"])
    assert all(runner["dice"][data["hardest"]][-1] < 0.5 for runner in data["runners"])
    assert data["words"]["end"].startswith("Neither learns this one (a faint one): Dice 0.00 and 0.00")


@pytest.mark.slow
@pytest.mark.browser
def test_the_race_runs_and_can_be_scrubbed(address: str, page: Page):
    page.emulate_media(reduced_motion="reduce")  # so that it is at its end at once
    page.goto(f"{address}/training")
    expect(page.get_by_text("Neither learns this one")).to_be_visible(timeout=SLOW)
    heading = page.locator(".race h3").first
    page.get_by_role("slider", name="How far the training has come").press("Home")
    expect(heading).to_have_text("ResUNet, epoch 1 of 20")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(heading).to_have_text("ResUNet, epoch 3 of 20", timeout=20_000)


@pytest.mark.browser
def test_the_chosen_runs_race(address: str, page: Page):
    page.goto(f"{address}/training")
    expect(page.locator(".race h3")).to_have_count(2, timeout=SLOW)
    page.get_by_label("Remove ResUNet-Lite").or_(
        page.locator("[data-baseweb=tag]:has-text('ResUNet-Lite') [role=presentation]")
    ).first.click()
    expect(page.get_by_text("ResUNet learns three slices")).to_be_visible(timeout=SLOW)
    expect(page.locator(".race h3")).to_have_count(1)
    expect(page.locator(".race path")).to_have_count(1)
