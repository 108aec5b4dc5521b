"""The slideshow: what is on its slides, and that it plays by itself."""

import base64
import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from resunet.catalogue import FLAGSHIP, find_model
from resunet.data.samples import load_samples
from resunet.evaluation.evaluation import Evaluation
from resunet.reports.slideshow_file import (
    Slide,
    case_slide,
    comparison_slide,
    finding_slides,
    head_slide,
    last_slide,
    slideshow_html,
)
from tests.conftest import bundled, open_app
from tests.test_app import fresh_caches  # noqa: F401 (fixture)


def slides_in(page: str) -> list[dict]:
    match = re.search(r"const slides = (.*);\n", page)
    assert match is not None
    return json.loads(match[1])


def test_the_page_holds_its_slides_and_asks_for_nothing_else():
    page = slideshow_html([Slide("One", "</script><b>"), Slide("Two")])
    assert [slide["title"] for slide in slides_in(page)] == ["One", "Two"] and page.count("</script>") == 1
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


def test_findings_are_the_summary():
    evaluation = Evaluation.stored(find_model(FLAGSHIP), "test")
    dice = evaluation.summary["metrics"]["volume_dice_mean"]["value"]
    assert finding_slides(evaluation)[0].figure == f"{dice:.2f}"
    bars = comparison_slide({FLAGSHIP: evaluation}).bars
    assert [(bar.label, bar.value, bar.is_marked) for bar in bars] == [("ResUNet-Lite", dice, True)]


@pytest.mark.parametrize("name", ["large_1", "none_1"])
def test_a_case_is_told_in_two_steps(name: str):
    sample = next(sample for sample in load_samples() if sample.name == name)
    prediction = bundled().predict(np.asarray(sample.image))
    question, answer = case_slide(sample.image, sample.mask, prediction, "It is simulated.").steps
    assert all(step.picture.startswith("data:image/jpeg;base64,") for step in (question, answer))
    assert question.caption == "A slice goes in. It is simulated."
    assert answer.title.startswith("Tumour found. Dice 0.9" if sample.mask.any() else "No tumour found")


def test_the_last_slide_leads_to_the_app():
    (step,) = last_slide("http://demo.example/").steps
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(step.picture.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == "http://demo.example/" and "http://demo.example/" in step.caption


def test_the_head_is_cut_open_and_closed_again():
    with Image.open(io.BytesIO(base64.b64decode(head_slide().steps[0].picture.partition(",")[2]))) as animation:
        levels = animation.n_frames // 2 + 1
        frames = [
            np.asarray(animation.convert("RGB"), int) for at in (0, levels // 2, levels - 1) if animation.seek(at) is None
        ]
    orange = [(frame[..., 0] - frame[..., 2] > 60).sum() for frame in frames]
    assert orange[1] > 1_000 > 50 > max(orange[0], orange[2])


def test_the_screen_offers_the_slideshow_as_a_file():
    app = open_app("slideshow")
    assert len(app.get("iframe")) == 1
    assert [button.label for button in app.get("download_button")] == ["Download the show (HTML)"]


def test_real_slices_join_the_show_where_they_are_here(kaggle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LGG_DATA", str(kaggle))
    app = open_app("slideshow")
    (frame,) = app.get("iframe")
    captions = [step[2] for slide in slides_in(frame.proto.srcdoc) for step in slide["steps"]]
    assert sum("held out from training" in caption for caption in captions) == 2
