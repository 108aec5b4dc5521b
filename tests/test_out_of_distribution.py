"""The badge for pictures unlike the training slices: what it is fitted on, where it shows, what it leaves alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from resunet.catalogue import STAGE_1, find_model
from resunet.data.outliers import KINDS
from resunet.data.samples import load_samples
from resunet.data.sources import open_splits
from resunet.errors import InputError
from resunet.evaluation.fit_detector import fit_detector, textures
from resunet.inference.out_of_distribution import OutOfDistributionDetector
from resunet.inference.stages import Stage1
from resunet.inference.verdict import ASKED, UNLIKE
from resunet.model_folder import DETECTOR, ModelFolder
from tests.conftest import bundled, open_app
from tests.test_app import fresh_caches  # noqa: F401 (fixture)

SAMPLES = [sample.image for sample in load_samples()]
LARGE = next(sample for sample in load_samples() if sample.name == "large_1")


def test_the_bundled_samples_get_no_badge_and_other_pictures_do():
    pipeline, rng = bundled(), np.random.default_rng(7)
    assert not any(pipeline.predict(image).is_unlike_training for image in SAMPLES[::2])
    for kind in ("ct_like", "speckle", "leaves"):
        flags = [pipeline.predict(KINDS[kind](SAMPLES[0], rng)).is_unlike_training for _ in range(8)]
        assert np.mean(flags) >= 0.85, kind


def test_an_inverted_slice_on_its_light_background_gets_the_badge():
    even = np.where(LARGE.image.max(axis=2, keepdims=True) < 25, 0, LARGE.image)
    assert not bundled().predict(even).is_unlike_training
    assert bundled().predict(255 - even).is_unlike_training


def test_a_slice_of_a_few_grey_levels_is_not_judged():
    coarse = (LARGE.image // 64) * 64
    assert np.isnan(bundled().predict(coarse).ood_score)


@pytest.mark.slow
def test_fitting_tells_the_training_slices_from_pictures_and_writes_them_down(kaggle: Path, tmp_path: Path):
    source = find_model(STAGE_1)
    for file in source.path.iterdir():
        if file.is_file() and file.name != DETECTOR:
            shutil.copy(file, tmp_path)
    folder, splits = ModelFolder(tmp_path), open_splits(kaggle)
    assert Stage1(folder)._detector is None
    fitted = fit_detector(folder, splits.train, splits.val, pictures=40)
    stored = OutOfDistributionDetector.of(folder)
    assert stored is not None and (folder.path / DETECTOR).stat().st_size < 10_000
    rng = np.random.default_rng(1)
    others = textures(Stage1(folder), (KINDS["leaves"](SAMPLES[0], rng) for _ in range(10)))
    known = textures(Stage1(folder), (record.image() for record in splits.train))
    np.testing.assert_allclose(stored.score(others), fitted.score(others), rtol=0.02, atol=0.2)
    assert np.median(stored.score(others)) > stored.limit > np.median(stored.score(known))
    (folder.path / DETECTOR).write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"out_of_distribution\.npz"):
        Stage1(folder)


def test_scores_by_hand():
    mean, deviation, weights = np.array([[1.0, 2.0], [0.5, 1.0], [1.0, -2.0]], np.float32)
    two = OutOfDistributionDetector(mean, deviation, weights, 0.25)
    # Square roots 2 and 3 lie 2 and 1 deviations above their means: 1 * 2 - 2 * 1 = 0. A root of 9 is clipped to 8 deviations.
    np.testing.assert_allclose(two.score(np.array([[4.0, 9.0], [81.0, 4.0]], np.float32)), [0.0, 8.0])


def speckled() -> bytes:
    picture = KINDS["speckle"](SAMPLES[0], np.random.default_rng(3))
    return cv2.imencode(".png", np.clip(picture * 60, 0, 255).astype(np.uint8))[1].tobytes()


def test_a_picture_that_is_judged_all_the_same_stays_marked():
    app = open_app("single_image")
    app.segmented_control(key="source").set_value("Upload").run()
    app.file_uploader[0].set_value([("speckle.png", speckled(), "image/png"), ("one.png", LARGE.png, "image/png")]).run()
    assert not app.exception
    first, second = app.dataframe[0].value["verdict"]
    assert first == app.header[0].value == "Not judged: this does not look like an MR slice of a head"
    assert second == "Tumour found" and app.dataframe[0].value["p_tumour"].isna()[0]
    app.button(key="judge_flair").click().run()
    assert not app.exception and not app.header[0].value.startswith("Not judged")
    badges = [badge.value for badge in app.get("markdown")]
    assert any(UNLIKE in badge for badge in badges) and any(ASKED in badge for badge in badges)
    assert app.dataframe[0].value["notes"][0].startswith(f"{UNLIKE}. Judged as FLAIR because you said so")
    app.button(key="judge_undo").click().run()
    assert app.header[0].value.startswith("Not judged")


def test_the_command_line_says_it_too(command: Callable[..., object], tmp_path: Path):
    (tmp_path / "speckle.png").write_bytes(speckled())
    line = json.loads(command("predict", tmp_path / "speckle.png", "--out", tmp_path / "out", "--as", "flair").stdout)
    assert line["unlike_training"] is True and line["judged_all_the_same"] is True
    assert line["verdict"] in ("No tumour found", "Tumour found", "Unclear")
