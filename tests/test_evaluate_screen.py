"""A visitor's own images and masks: zip files in memory, and the screen that measures a model on them."""

import io
import itertools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from resunet.catalogue import FLAGSHIP
from resunet.data.archive import MAX_FILE, read_archive
from resunet.data.samples import SAMPLES as SAMPLES_FOLDER
from resunet.data.samples import T1CE, load_samples
from resunet.errors import InputError
from tests.conftest import open_app
from tests.test_app import fresh_caches, plain_text  # noqa: F401 (fixture)

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
    records = read_archive(zipped(layout(top))).slices
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
        (zipped({"images/a.png": b"1", "masks/b.png": b"2"}), "1 image without a mask .images/a.png"),
        (zipped({"images/a.png": bytes(MAX_FILE + 1), "masks/a.png": b"2"}), "give fewer slices"),
    ],
    ids=["empty", "nonsense", "no files", "no pairs", "no mask", "bomb"],
)
def test_other_archives_get_one_sentence(content: bytes, words: str):
    with pytest.raises(InputError, match=words) as caught:
        read_archive(content)
    assert "\n" not in str(caught.value)


def packed_with(method: int) -> bytes:
    store = io.BytesIO()
    with zipfile.ZipFile(store, "w", method) as archive:
        archive.writestr("images/p_1.png", bytes(1000))
        archive.writestr("masks/p_1.png", bytes(1000))
    return store.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_unpacked_in_bounds_are_refused(method: int):
    with pytest.raises(InputError, match="usual compression"):
        read_archive(packed_with(method))
    assert len(read_archive(packed_with(zipfile.ZIP_DEFLATED)).slices) == 1


def test_an_archive_of_endless_files_is_refused_before_its_list_is_read(monkeypatch: pytest.MonkeyPatch):
    content = zipped({f"{number}": b"" for number in range(10_001)})
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_: pytest.fail("the list was read"))
    with pytest.raises(InputError, match="more files than can be read"):
        read_archive(content)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["p/_mask.png", "p/a_1.png"], "No slice with a mask"),
        ([f"images/p_{'1' * 5000}.png"], "longer|300 characters"),
        (["images/" + "d/" * 200 + "p_1.png"], "300 characters"),
        (["images/p_1.png", "images/p_01.png", "masks/p_1.png", "masks/p_01.png"], "both slice 1 of p; number them apart"),
    ],
    ids=["nameless", "long number", "deep", "twice"],
)
def test_names_that_mean_nothing_get_one_sentence(names: list[str], words: str):
    with pytest.raises(InputError, match=words):
        read_archive(zipped(dict.fromkeys(names, b"x")))


def test_a_long_number_is_part_of_the_name():
    number = "9" * 30
    (record,) = read_archive(zipped({f"images/p_{number}.png": b"x", f"masks/p_{number}.png": b"x"})).slices
    assert record.patient == f"p_{number}" and record.number == 0


def test_a_damaged_member_is_named():
    record = read_archive(damaged()).slices[0]
    with pytest.raises(InputError, match="p0_0.png"):
        record.image()


@pytest.fixture
def screen() -> Iterator[AppTest]:
    yield open_app("evaluate")


def upload(app: AppTest, content: bytes) -> AppTest:
    app.file_uploader(key="upload_zip").set_value(("mine.zip", content, "application/zip")).run()
    return app


def test_own_data_is_measured_and_joins_the_other_screens(screen: AppTest):
    app = upload(screen, zipped(two_folders()))
    pixels = sum(int(sample.mask.sum()) for sample in SAMPLES)
    assert any(f"6 slices of 2 patients, 6 with a tumour, {pixels:,} tumour pixels" in caption.value for caption in app.caption)
    app.button(key="evaluate_start").click().run()
    assert not app.exception and "ResUNet-Lite" in app.success[0].value and "over 2 patients" in app.success[0].value
    app = app.switch_page("pages/evaluation/metrics.py").run()
    assert app.selectbox(key="evaluation").value == "uploaded"
    assert not app.exception and "--split all" in app.metric[0].help
    app.select_slider(key="explore_threshold").set_value(0.3).run()
    assert not app.exception
    app = app.switch_page("pages/evaluation/cases.py").run()
    assert app.selectbox(key="evaluation").value == "uploaded"
    assert not app.exception and any("true outline" in caption.value for caption in app.caption)


def test_slices_that_the_model_does_not_know_are_said_to_be_so(screen: AppTest):
    enhanced = [sample for sample in load_samples(SAMPLES_FOLDER / T1CE) if sample.mask.any()][:4]
    files = {f"images/p{number}_1.png": png(sample.image) for number, sample in enumerate(enhanced)}
    files |= {f"masks/p{number}_1.png": png(sample.mask.astype(np.uint8) * 255) for number, sample in enumerate(enhanced)}
    app = upload(screen, zipped(files))
    words = "Of 4 patients looked at, 4 would not be judged on Single image: this looks like a T1-weighted slice."
    assert words in plain_text(app.warning[0].value)
    assert not upload(screen, zipped(two_folders())).warning


def with_masks(mask: np.ndarray) -> bytes:
    files = two_folders()
    return zipped({name: png(mask) if "/masks/" in name else content for name, content in files.items()})


def test_own_data_without_any_tumour_leave_every_screen_standing(screen: AppTest):
    app = upload(screen, with_masks(np.zeros((256, 256), np.uint8)))
    for model in ("unet", FLAGSHIP):
        app.selectbox(key="evaluate_model").set_value(model).run()
        app.button(key="evaluate_start").click().run()
    assert not app.exception and "none with a tumour in its mask, so Dice says nothing" in app.success[0].value
    app = app.switch_page("pages/evaluation/metrics.py").run()
    app.selectbox(key="evaluation").set_value("uploaded").run()
    app.select_slider(key="explore_threshold").set_value(0.3).run()
    assert not app.exception
    for name, key in (("comparison", "evaluation"), ("cases", "evaluation")):
        app = app.switch_page(f"pages/evaluation/{name}.py").run()
        app.selectbox(key=key).set_value("uploaded").run()
        assert not app.exception and not app.error


def test_own_data_of_two_zip_files_are_not_compared_with_each_other(screen: AppTest):
    app = upload(screen, zipped(two_folders()))
    app.selectbox(key="evaluate_model").set_value("unet").run()
    app.button(key="evaluate_start").click().run()
    app = upload(app, with_masks(np.zeros((256, 256), np.uint8)))
    app.selectbox(key="evaluate_model").set_value(FLAGSHIP).run()
    app.button(key="evaluate_start").click().run()
    app = app.switch_page("pages/evaluation/comparison.py").run()
    app.selectbox(key="evaluation").set_value("uploaded").run()
    assert not app.exception and not app.error
    assert "Left out, since measured on other slices than ResUNet-Lite: U-Net." in [info.value for info in app.info]
    assert list(app.dataframe[0].value["Model"]) == ["ResUNet-Lite"]


def test_masks_of_another_size_are_refused(screen: AppTest):
    app = upload(screen, with_masks(np.zeros((64, 64), np.uint8)))
    assert not app.exception and "is 64x64 pixels but the image is 256x256" in plain_text(app.error[0].value)


def test_patients_are_called_whatever_they_are_called(screen: AppTest):
    files = {name.replace("p0_", "TCGA_").replace("p1_", "=![a](www.b.c)_"): content for name, content in two_folders().items()}
    app = upload(screen, zipped(files))
    app.button(key="evaluate_start").click().run()
    app = app.switch_page("pages/evaluation/metrics.py").run()
    app.selectbox(key="evaluation").set_value("uploaded").run()
    assert not app.exception
    app = app.switch_page("pages/evaluation/cases.py").run()
    app.selectbox(key="evaluation").set_value("uploaded").run()
    assert not app.exception
    assert any(name.startswith("'=") for name in app.dataframe[0].value["patient"])
    app.query_params.update(patient="=![a](www.b.c)", slice="1")
    app.run()
    heading = app.subheader[0].value
    assert plain_text(heading) == "=![a](www.b.c), slice 1" and "](" not in heading and "www." not in heading


def test_an_evaluation_that_takes_too_long_makes_room(screen: AppTest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.monotonic", itertools.count(0, 1000.0).__next__)
    app = upload(screen, zipped(two_folders()))
    app.button(key="evaluate_start").click().run()
    assert not app.exception and "others are waiting" in plain_text(app.error[0].value)


def test_own_data_can_be_forgotten(screen: AppTest):
    app = upload(screen, zipped(two_folders()))
    app.button(key="evaluate_start").click().run()
    app.button(key="evaluate_forget").click().run()
    assert not app.exception and not app.success


@pytest.mark.parametrize(
    "content", [b"text", zipped({"images/a.png": b"text", "masks/a.png": b"text"})], ids=["text", "in zip"]
)
def test_a_bad_archive_gets_one_sentence_on_the_screen(screen: AppTest, content: bytes):
    app = upload(screen, content)
    if not app.error:
        app.button(key="evaluate_start").click().run()
    assert not app.exception and len(app.error) == 1 and not app.success


def test_folders_of_the_machine_are_offered_only_where_allowed(kaggle: Path, monkeypatch: pytest.MonkeyPatch):
    assert not open_app("evaluate").text_input
    monkeypatch.setenv("RESUNET_FOLDERS", "1")
    app = open_app("evaluate")
    app.text_input(key="upload_folder").set_value(str(kaggle)).run()
    assert not app.exception and any("slices of" in caption.value for caption in app.caption)
    app.text_input(key="upload_folder").set_value("/nowhere").run()
    assert not app.exception and len(app.error) == 1


def test_training_patients_are_named_beside_the_figures(screen: AppTest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resunet.data.membership.find_patient", lambda image: "TCGA_CS_4941_19960909")
    app = upload(screen, zipped(two_folders()))
    app.button(key="evaluate_start").click().run()
    assert "flatter the model: p0, p1" in plain_text(app.warning[0].value)
