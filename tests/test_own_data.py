"""A visitor's own images and masks: zip files in memory, and the screen that measures a model on them."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.common.once import once
from resunet.data.archive import MAX_FILE, read_archive
from resunet.data.membership import Known
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.hub import FLAGSHIP
from tests.test_app import fresh_caches  # noqa: F401 (fixture)
from tests.test_dashboards import open_screen

SAMPLES = load_samples()[:6]


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def zipped(files: dict[str, bytes]) -> bytes:
    store = io.BytesIO()
    with zipfile.ZipFile(store, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return store.getvalue()


def two_folders(top: str = "mine/") -> dict[str, bytes]:
    files = {"__MACOSX/images/x.png": b"", f"{top}notes.txt": b"hello"}
    for number, sample in enumerate(SAMPLES):
        name = f"p{number % 2}_{number}.png"
        files[f"{top}images/{name}"] = png(sample.image[..., ::-1])
        files[f"{top}masks/{name}"] = png(sample.mask.astype(np.uint8) * 255)
    return files


def kaggle_layout(top: str = "kaggle_3m/") -> dict[str, bytes]:
    return {
        f"{top}TCGA_X_{number % 2}/TCGA_X_{number % 2}_{number}{end}.png": png(picture)
        for number, sample in enumerate(SAMPLES)
        for end, picture in (("", sample.image[..., ::-1]), ("_mask", sample.mask.astype(np.uint8) * 255))
    }


@pytest.mark.parametrize("layout", [two_folders, kaggle_layout])
@pytest.mark.parametrize("top", ["", "a/b/"])
def test_both_layouts_are_read_below_any_folder(layout: Callable[[str], dict[str, bytes]], top: str):
    records = read_archive(zipped(layout(top)))
    assert [record.number for record in records] == [0, 2, 4, 1, 3, 5]
    assert len({record.patient for record in records}) == 2
    for record in records:
        np.testing.assert_array_equal(record.image(), SAMPLES[record.number].image)
        np.testing.assert_array_equal(record.mask(), SAMPLES[record.number].mask)


def damaged() -> bytes:
    content = bytearray(zipped(two_folders()))
    start = content.index(b"images/p0_0.png") + 400
    content[start : start + 200] = bytes(200)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a zip file"),
        (b"PK nonsense", "not a zip file"),
        (zipped({}), "No slice with a mask"),
        (zipped({"a.png": b"1", "../../b.png": b"2"}), "No slice with a mask"),
        (zipped({"images/a.png": b"1", "masks/b.png": b"2"}), "images/a.png has no mask"),
        (zipped({"images/a.png": bytes(MAX_FILE + 1), "masks/a.png": b"2"}), "give fewer slices"),
    ],
    ids=["empty", "nonsense", "no files", "no pairs", "no mask", "bomb"],
)
def test_other_archives_get_one_sentence(content: bytes, words: str):
    with pytest.raises(InputError, match=words) as caught:
        read_archive(content)
    assert "\n" not in str(caught.value)


def test_a_damaged_member_is_named():
    record = read_archive(damaged())[0]
    with pytest.raises(InputError, match="p0_0.png"):
        record.image()


@pytest.fixture
def screen() -> Iterator[AppTest]:
    yield open_screen("own_data")


def upload(app: AppTest, content: bytes) -> AppTest:
    app.file_uploader(key="own_zip").set_value(("mine.zip", content, "application/zip")).run()
    return app


def test_own_data_is_measured_and_joins_the_other_screens(screen: AppTest):
    app = upload(screen, zipped(two_folders()))
    assert any("6 slices of 2 patients" in caption.value for caption in app.caption)
    app.button(key="own_start").click().run()
    assert not app.exception and FLAGSHIP in app.success[0].value and "over 2 patients" in app.success[0].value
    app = app.switch_page("pages/evaluation/metrics.py").run()
    app.selectbox(key="protocol").set_value("own").run()
    assert not app.exception and "--split all" in app.metric[0].help
    app.select_slider(key="explore_threshold").set_value(0.3).run()
    assert not app.exception
    app = app.switch_page("pages/evaluation/cases.py").run()
    app.selectbox(key="protocol").set_value("own").run()
    assert not app.exception and any("true outline" in caption.value for caption in app.caption)


def test_own_data_can_be_forgotten(screen: AppTest):
    app = upload(screen, zipped(two_folders()))
    app.button(key="own_start").click().run()
    app.button(key="own_forget").click().run()
    assert not app.exception and not app.success


@pytest.mark.parametrize(
    "content", [b"text", zipped({"images/a.png": b"text", "masks/a.png": b"text"})], ids=["text", "in zip"]
)
def test_a_bad_archive_gets_one_sentence_on_the_screen(screen: AppTest, content: bytes):
    app = upload(screen, content)
    if not app.error:
        app.button(key="own_start").click().run()
    assert not app.exception and len(app.error) == 1 and not app.success


def test_folders_of_the_machine_are_offered_only_where_allowed(kaggle: Path, monkeypatch: pytest.MonkeyPatch):
    assert not open_screen("own_data").text_input
    monkeypatch.setenv("RESUNET_FOLDERS", "1")
    app = open_screen("own_data")
    app.text_input(key="own_folder").set_value(str(kaggle)).run()
    assert not app.exception and any("slices of" in caption.value for caption in app.caption)
    app.text_input(key="own_folder").set_value("/nowhere").run()
    assert not app.exception and len(app.error) == 1


def test_own_data_leave_nothing_in_what_visitors_share():
    calls: list[int] = []

    def compute(number: int) -> int:
        calls.append(number)
        return number

    assert [once("test", compute, 1), once("test", compute, 1), once("own", compute, 2), once("own", compute, 2)] == [
        1,
        1,
        2,
        2,
    ]
    assert calls == [1, 2, 2]


def test_training_patients_are_named_beside_the_figures(screen: AppTest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resunet.data.membership.find_slice", lambda image: Known("TCGA_X", "train"))
    app = upload(screen, zipped(two_folders()))
    app.button(key="own_start").click().run()
    assert "flatter the model: p0, p1" in app.warning[0].value
