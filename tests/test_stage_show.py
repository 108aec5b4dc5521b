"""The show: what is on its slides, and that it plays by itself."""

import json
import re

import numpy as np
import pytest

from resunet.charts.style import MODEL_NAMES, model_colour
from resunet.data.samples import load_samples
from resunet.hub import FLAGSHIP, find_model
from resunet.pipeline import TumourPipeline
from resunet.stage_show import Slide, case_slide, comparison_slide, finding_slides, stage_html
from tests.test_app import fresh_caches, open_screen  # noqa: F401 (fixture)


def slides_in(page: str) -> list[dict]:
    found = re.search(r"const slides = (.*);\n", page)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_its_slides_and_asks_for_nothing_else():
    page = stage_html([Slide("One", "</script><b>"), Slide("Two")])
    assert [slide["title"] for slide in slides_in(page)] == ["One", "Two"] and page.count("</script>") == 1
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


def test_findings_are_the_summary():
    summary = find_model(FLAGSHIP).summary("test")
    assert finding_slides(FLAGSHIP, summary)[0].figure == f"{summary['metrics']['volume_dice_mean']['value']:.2f}"
    bars = comparison_slide({FLAGSHIP: summary}).bars
    assert [bar.value for bar in bars] == [summary["metrics"]["volume_dice_mean"]["value"]]


@pytest.mark.parametrize(("name", "steps"), [("large_1", 3), ("none_1", 3)])
def test_a_case_is_told_in_steps(name: str, steps: int):
    sample = next(sample for sample in load_samples() if sample.name == name)
    found = TumourPipeline.load().predict(np.asarray(sample.image))
    told = case_slide(sample, found).steps
    assert len(told) == steps and all(picture.startswith("data:image/jpeg;base64,") for picture, _ in told)
    assert ("Dice with the truth" in told[-1][1]) == bool(sample.mask.any()) and "simulated" in told[0][1]


def test_every_model_has_a_colour_of_its_own():
    assert len({model_colour(name) for name in MODEL_NAMES}) == len(MODEL_NAMES)


def test_the_screen_offers_the_show_as_a_file():
    app = open_screen("stage")
    assert len(app.get("iframe")) == 1 and [button.label for button in app.get("download_button")] == ["The show as one file"]
