"""Every screen run by Streamlit's own test harness, on the bundled models, on broken ones and on hostile uploads."""

import asyncio
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest
from streamlit.web.server.app_discovery import discover_asgi_app

from pages.common import models, server
from pages.common.messages import JOINER, escape_markdown
from resunet import catalogue
from resunet.catalogue import FLAGSHIP, VOLUME_MODEL, WEIGHTS, find_model
from resunet.data.samples import load_samples
from resunet.evaluation.aggregate import summarise_segmentation
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.verdict import verdict
from tests.conftest import REPOSITORY, bundled, open_app
from tests.hostile import BAD, RGB, dicom, nifti, picture
from tests.hub_server import Hub, serving

SAMPLES = {sample.name: sample for sample in load_samples()}
LARGE = SAMPLES["large_1"]


@pytest.fixture(autouse=True)
def fresh_caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delenv("LGG_DATA", raising=False)
    st.cache_data.clear()
    yield
    st.cache_data.clear()


def text_of(app: AppTest) -> str:
    """What the screen says, its escapes taken away."""
    return plain_text("\n".join(element.value for kind in ("header", "markdown", "caption") for element in app.get(kind)))


def plain_text(escaped: str) -> str:
    return re.sub(r"\\(.)", r"\1", escaped).replace(JOINER, "")


GATE_WORDS = ("slices with a tumour", "those without one")


def figures(model: str, evaluation: str) -> dict:
    """As stored; of the external slices without those of patients with a speck of tumour."""
    if evaluation != "external":
        return find_model(model).summary(evaluation)["metrics"]
    slices = find_model(model).slices(evaluation)
    return summarise_segmentation(slices[slices.groupby("patient")["tumour_pixels"].transform("sum") >= 100])


def test_overview_shows_the_figures_of_the_model_folders():
    dice = [
        (name, "volume_dice_mean", f"{find_model(name).config().display_name}, mean volume Dice")
        for name in (FLAGSHIP, VOLUME_MODEL)
    ]
    at = f"{find_model('resnet50').config().threshold:.2f}"
    stage_1 = [("resnet50", "accuracy", f"Stage 1 alone at {at}, Accuracy"), ("resnet50", "auroc", "Stage 1 alone, AUROC")]
    sets = {None: ("cross_validated", dice), "test": ("test", dice + stage_1), "external": ("external", dice)}
    for chosen, (evaluation, cards) in sets.items():
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
        if chosen:
            app.query_params["evaluation"] = chosen
        app = app.run()
        shown = {metric.label: metric.value for metric in app.metric}
        for model, name, label in cards:
            assert shown[label] == f"{figures(model, evaluation)[name]['value']:.3f}"
        median = figures(FLAGSHIP, evaluation)["volume_dice_median"]["value"]
        assert any(f"ResUNet-Lite {median:.3f} (" in caption.value for caption in app.caption)
        assert len(app.get("plotly_chart")) == 1 and not app.exception
        measured_on = "test" if chosen is None else evaluation
        stage_1 = find_model("resnet50").slices(measured_on)
        passes = stage_1["p_tumour"] >= find_model(FLAGSHIP).config().gate.threshold
        shares = passes.groupby(stage_1["tumour_pixels"] == 0).mean()
        passed = [
            f"{shares[empty]:.0%} of {what}" for empty, what in zip((False, True), GATE_WORDS, strict=True) if empty in shares
        ]
        start = "On the test set, at" if chosen is None else "At"
        sentence = f"{start} the gate, stage 1 passes {' and '.join(passed)} on to stage 2. In 3 people with multiple sclerosis"
        assert any(sentence in caption.value for caption in app.caption), sentence
        reported = {label: value for label, value in shown.items() if label.startswith("Reported")}
        assert reported == (
            {"Reported: U-Net, mean volume Dice": "0.836", "Reported: two readers, mean Dice": "0.84"} if not chosen else {}
        )


def test_a_sample_gets_its_verdict_at_once():
    app = open_app("single_image")
    expected = verdict(bundled().predict(LARGE.image, segment_all=True))
    finding, figures, _ = expected
    assert app.header[0].value == finding
    assert figures in text_of(app)
    assert "Dice 0.9" in text_of(app) and len(app.get("image")) == 24  # the gallery
    assert "slice_viewer" in {one.key for one in app.get("bidi_component")}  # the viewer


def test_one_click_chooses_another_sample():
    app = open_app("single_image")
    app.button(key="sample_cavity_2").click().run()
    assert "Simulated sample: Cavity 2" in text_of(app)
    assert not app.exception


def test_threshold_and_gate_act_on_kept_probabilities(monkeypatch: pytest.MonkeyPatch):
    app = open_app("single_image")
    before = text_of(app)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("neither threshold nor gate must cause a forward pass")

    monkeypatch.setattr(TumourPipeline, "predict", forbidden)
    app.query_params.update(sample="large_1", threshold="0.95")
    app.run()
    assert not app.exception and text_of(app) != before and app.header[0].value == "Tumour found"
    app.slider(key="gate").set_value(1.0).run()
    assert not app.exception and app.header[0].value == "Unclear"  # stage 1 is sure of it


def test_a_link_opens_its_sample_at_its_threshold():
    app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
    app.query_params.update(sample="cavity_2", threshold="0.9", layer="probability")
    app = app.run().switch_page("pages/demo/single_image.py")
    app.query_params.update(sample="cavity_2", threshold="0.9", layer="probability")
    app.run()
    expected = verdict(bundled().predict(SAMPLES["cavity_2"].image, segment_all=True).with_thresholds(0.9))
    assert "Simulated sample: Cavity 2" in text_of(app) and expected.figures in text_of(app)
    app.button(key="sample_large_2").click().run()  # the link's threshold is not another slice's
    assert verdict(bundled().predict(SAMPLES["large_2"].image)).figures in text_of(app)
    for nonsense in ("", "x", "-3", "nan"):
        app.query_params["threshold"] = nonsense
        assert not app.run().exception


def test_uncertainty_runs_the_flips(monkeypatch: pytest.MonkeyPatch):
    app = open_app("single_image")
    asked = []
    real = TumourPipeline.predict
    monkeypatch.setattr(TumourPipeline, "predict", lambda *args, **kw: asked.append(kw["tta"]) or real(*args, **kw))
    app.toggle(key="tta").set_value(True).run()
    assert not app.exception and asked == [True]


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.segmented_control(key="source").set_value("Upload").run()
    app.file_uploader[0].set_value([(name, content, "application/octet-stream") for name, content in files]).run()
    assert not app.exception
    return app


def test_an_upload_gets_its_verdict_and_keeps_its_notes():
    app = upload(open_app("single_image"), ("grey.png", picture(RGB.convert("L"), "PNG")))
    assert "One channel: it is used for all three" in text_of(app)
    assert "grey.png" in text_of(app) and not app.error
    assert "Dice" not in text_of(app)  # no truth, no score


def test_spacing_of_a_file_gives_millimetres():
    pixels = LARGE.image[..., 1].astype(np.uint16) * 100
    app = upload(open_app("single_image"), ("slice.dcm", dicom(pixels, PixelSpacing=[0.9, 0.9])))
    app.slider(key="gate").set_value(0.0).run()
    assert "Area, mm²" in app.dataframe[-1].value.columns


def test_what_a_header_says_comes_before_what_the_picture_looks_like():
    stated = dicom(LARGE.image[..., 1].astype(np.uint16) * 100, Modality="MR", SeriesDescription="T2 TSE AX")
    app = upload(open_app("single_image"), ("slice.dcm", stated))
    assert "Not judged: the file says that this is" in text_of(app) and not app.metric


def test_a_volume_brings_a_slice_slider():
    volume = np.stack([LARGE.image[..., 1].T[:, ::-1]] * 4, axis=-1).astype(np.float32)
    app = upload(open_app("single_image"), ("head.nii", nifti(volume)))
    assert app.slider(key="slice_of_4").max == 4
    app.slider(key="slice_of_4").set_value(4).run()
    assert "slice 4 of 4" in text_of(app)


def test_bad_uploads_get_their_sentences_and_no_traceback():
    app = upload(open_app("single_image"), *((name, make()) for name, (make, _) in BAD.items()))
    table = app.dataframe[0].value.set_index("file")
    assert len(app.error) == 1 and set(table.index) == set(BAD)
    assert all(problem.startswith(name) for name, problem in table["problem"].items())


def test_several_uploads_make_a_table_and_bad_ones_stop_nobody():
    app = upload(open_app("single_image"), ("bad.png", b"nonsense"), ("good.png", LARGE.png), ("other.png", LARGE.png))
    table = app.dataframe[0].value
    assert list(table["file"]) == ["bad.png", "good.png", "other.png"]
    assert table["problem"].iloc[0].startswith("bad.png is not an image") and not table["problem"].iloc[1]
    assert table["p_tumour"].iloc[1] == table["p_tumour"].iloc[2]
    assert "good.png" in text_of(app)  # the first readable one is shown


@pytest.mark.parametrize("name", ["none_1", "large_1"])
def test_table_and_viewer_use_the_same_words(name: str):
    app = upload(open_app("single_image"), (f"{name}.png", SAMPLES[name].png), ("other.png", SAMPLES["large_2"].png))
    assert app.dataframe[0].value["verdict"].iloc[0] == app.header[0].value


def test_a_slice_without_contrast_gets_a_sentence_and_no_probability():
    app = upload(open_app("single_image"), ("zeros.png", picture(Image.new("L", (64, 64)), "PNG")))
    assert not app.exception and "nothing with contrast" in plain_text(app.error[0].value)
    assert "P(tumour)" not in text_of(app)


def test_a_blank_slice_of_a_volume_is_named_when_it_is_chosen():
    volume = np.stack([np.zeros((256, 256)), LARGE.image[..., 1], LARGE.image[..., 1]]).astype(np.uint16)
    app = upload(open_app("single_image"), ("volume.dcm", dicom(volume)))
    assert app.header[0].value == "Tumour found"
    app.slider(key="slice_of_3").set_value(1).run()
    assert not app.exception and "nothing with contrast" in plain_text(app.error[0].value)


def test_patients_of_the_data_set_come_with_truth_and_a_badge(kaggle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LGG_DATA", str(kaggle))
    app = open_app("single_image")
    app.segmented_control(key="source").set_value("LGG patients").run()
    assert len(app.selectbox(key="patient").options) == 8
    assert "Dice" in text_of(app) and "in the training set" in app.selectbox(key="patient").options[-1]
    assert not app.exception


def test_the_server_begins_to_load_the_models_before_its_first_visitor(monkeypatch: pytest.MonkeyPatch):
    started: list[str] = []
    loading: Future[None] = Future()
    monkeypatch.setattr(models, "start_loading", lambda: started.append("the models") or loading)
    monkeypatch.setattr(server, "settle", lambda _: started.append("the rest"))
    imported = runpy.run_path(str(REPOSITORY / "app.py"), run_name="app")

    async def serve() -> None:
        async with server.lifespan(imported["app"]):
            assert started == ["the models"]
            loading.set_result(None)
            assert started == ["the models", "the rest"]

    asyncio.run(serve())
    assert discover_asgi_app(REPOSITORY / "app.py").import_string == "app:app"  # what `streamlit run app.py` looks for


def test_the_server_settles_before_it_collects_no_garbage_of_the_start():
    script = (
        "import gc, sys; from pages.common import models, server; "
        "server.FIRST_SCREEN = 0; server.settle(models.start_loading()); "
        "assert gc.get_freeze_count() > 10_000 and not {'sklearn', 'scipy.stats', 'torch'} & set(sys.modules); "
        "from pages.common.dashboards.sample_cases import find; import time; start = time.time(); "
        "assert len(find('resunet_lite').slices) == 24 and time.time() - start < 0.2"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)


@pytest.fixture
def copied_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    copy = tmp_path / "weights"
    shutil.copytree(WEIGHTS, copy)
    monkeypatch.setattr(catalogue, "WEIGHTS", copy)
    models.start_loading.clear()
    yield copy
    models.start_loading.clear()


def test_without_weights_the_app_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalogue, "WEIGHTS", tmp_path)
    models.start_loading.clear()
    for screen in ("overview", "single_image"):
        assert "There is no model" in open_app(screen).error[0].value
    models.start_loading.clear()


def test_a_model_on_the_hub_is_offered_again_after_a_refusal(
    copied_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {path.name: path.read_bytes() for path in (copied_weights / FLAGSHIP).glob("*") if path.is_file()}
    shutil.rmtree(copied_weights / FLAGSHIP)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(Hub()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("RESUNET_HUB", f"{FLAGSHIP}=owner/name@{server.commit(files)}")
        server.status = 401
        app = open_app("single_image")
        assert "owner/name is not on the Hub, or not for you" in plain_text(app.error[0].value)
        assert not app.metric
        server.status = 0
        app.button(key="again").click().run()
    assert not [error.value for error in app.error] and "Simulated sample: Large 1" in text_of(app)
    assert app.header[0].value == "Tumour found"


def test_damaged_weights_are_named_and_the_dashboard_still_works(copied_weights: Path):
    path = copied_weights / FLAGSHIP / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10] + b"0123456789")
    app = open_app()
    assert "is damaged" in app.error[0].value
    assert len(app.metric) == 4


def test_an_evaluation_that_was_not_run_is_named(copied_weights: Path):
    shutil.rmtree(copied_weights / FLAGSHIP / "evaluation")
    app = open_app()
    assert not app.metric and "Nothing is evaluated yet. Run: resunet evaluate resunet_lite" in app.info[0].value


@pytest.mark.parametrize("name", ["a_b_c.png", "<img src=x>.png", "$x$ *y* [z](http://e).png", ":red[boo].png"])
def test_a_file_name_is_shown_as_it_is_and_never_as_markup(name: str):
    escaped = escape_markdown(f"{name} is damaged")
    assert plain_text(escaped) == f"{name} is damaged"
    assert not re.search(r"(?<!\\)[*_<>$\[\]`#]|:[\w+-]", escaped)


def test_a_sentence_is_one_line_however_the_file_is_called():
    app = upload(open_app("single_image"), ("a\n# b" + "x" * 5000 + ".png", b"nonsense"))
    assert len(app.error) == 1 and "\n" not in app.error[0].value and len(app.error[0].value) < 600
    assert plain_text(app.error[0].value).startswith("a # bxxx")


def test_the_samples_that_fail_say_why_and_fail():
    samples = {sample.name: sample for sample in load_samples()}
    pipeline = bundled()
    cavity, small = (pipeline.predict(samples[name].image) for name in ("cavity_3", "small_2"))
    invented = cavity.mask & ~samples["cavity_3"].mask
    flair = samples["cavity_3"].image[..., 1]
    assert invented.sum() > 400 and np.median(flair[invented]) < np.median(flair[samples["cavity_3"].mask]) / 2
    assert verdict(small).headline == "Unclear" and small.p_tumour < 0.5
    app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
    app.query_params["sample"] = "cavity_3"
    app = app.run().switch_page("pages/demo/single_image.py").run()
    assert any("Here it fails" in caption.value for caption in app.caption)
