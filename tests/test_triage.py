"""What the system says that it looks at, which model judges it, and when there is no verdict."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from resunet.catalogue import FLAGSHIP, T1CE_MODEL, VOLUME_MODEL
from resunet.data import outliers
from resunet.data.samples import SAMPLES as SAMPLES_FOLDER
from resunet.data.samples import T1CE, load_samples
from resunet.inference import triage
from resunet.inference.drawings import LEFT_OUT, without_drawings
from resunet.inference.recogniser import CONTENTS, SIDE, Recogniser, Sighting, as_seen, load_recogniser
from resunet.inference.triage import CROP, triage_slice, triage_volume
from resunet.inference.verdict import (
    EVEN,
    FOUND,
    NOT_FOUND,
    SMALL_IN_SLICE,
    SMALL_IN_VOLUME,
    UNCLEAR,
    ScanSummary,
    headline_of,
    headline_of_volume,
    not_judged,
    verdict,
)
from resunet.reading.scan import PLANES, checked_scan
from resunet.reading.volume_scan import Volume
from tests.conftest import bundled

Command = Callable[..., subprocess.CompletedProcess[str]]
SAMPLES = {sample.name: sample for sample in load_samples()}
LARGE, NONE = SAMPLES["large_1"], SAMPLES["none_2"]
ENHANCED = {sample.name: sample for sample in load_samples(SAMPLES_FOLDER / T1CE)}


def sighting(content: str, share: float = 0.99, plane: str = "axial") -> Sighting:
    contents = np.full(len(CONTENTS), (1 - share) / (len(CONTENTS) - 1), np.float32)
    contents[CONTENTS.index(content)] = share
    planes = np.array([0.98 if name == plane else 0.01 for name in PLANES], np.float32)
    return Sighting(contents, planes, 1.0)


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the recogniser see something."""

    def see(content: str, share: float = 0.99, plane: str = "axial") -> None:
        monkeypatch.setattr(triage, "load_recogniser", lambda: lambda _: sighting(content, share, plane))

    return see


def test_what_is_seen_is_a_square_of_fixed_size_between_black_and_white():
    picture = np.zeros((100, 60))
    picture[30:70, 20:40] = 7
    seen = as_seen(picture)
    assert seen.shape == (SIDE, SIDE) and seen.min() == 0 and seen.max() == 1
    rows, columns = np.nonzero(seen > 0.5)
    assert abs(rows.mean() - SIDE / 2) < 2 and abs(columns.mean() - SIDE / 2) < 2
    assert np.array_equal(as_seen(1000 + 5 * picture), seen)  # gain and offset say nothing


@pytest.mark.parametrize("name", ["large_1", "none_2", "typical_2"])
def test_the_channels_of_a_sample_are_told_apart(name: str):
    image = SAMPLES[name].image
    looks = [load_recogniser()(image[..., channel]) for channel in range(3)]
    assert looks[1].content == "flair" and all(look.plane == "axial" for look in looks)
    assert looks[0].content == "pre" and looks[0].p_skull > 0.5


def test_samples_of_contrast_enhanced_t1_go_to_the_model_that_knows_it():
    for name, sample in ENHANCED.items():
        found = triage_slice(sample.image, "post", sample.plane)
        assert found.model == T1CE_MODEL and found.notes == (), name
        by_itself = triage_slice(sample.image)
        assert by_itself.model != FLAGSHIP and by_itself.sequence in ("pre", "post"), name  # never judged as FLAIR


def test_pictures_that_are_no_slice_are_not_judged():
    photograph = cv2.resize(load_sample_images().images[0], (256, 256))
    rng = np.random.default_rng(0)
    heads = [sample.image for sample in SAMPLES.values()]
    pictures = [photograph, outliers.panes(heads, rng), outliers.screenshot(heads[0], rng), outliers.film(heads[0], rng)]
    for picture in (*pictures, rng.integers(0, 255, (256, 256, 3)).astype(np.uint8)):
        found = triage_slice(picture)
        assert found.model == "" and found.sequence is None and found.reason


def test_several_panes_get_the_way_out():
    sheet = np.concatenate([np.concatenate([LARGE.image, NONE.image], axis=1)] * 2)
    found = triage_slice(sheet)
    assert found.reason == "this looks like a picture of several panes" and found.notes == (CROP,)


@pytest.mark.parametrize(
    ("content", "plane", "model"),
    [
        ("flair", "axial", FLAGSHIP),
        ("flair", "sagittal", ""),
        ("post", "axial", T1CE_MODEL),
        ("post", "coronal", T1CE_MODEL),
        ("pre", "axial", ""),
        ("t2", "axial", ""),
        ("other", "axial", ""),
        ("panes", "axial", ""),
        ("none", "axial", ""),
    ],
)
def test_models_judge_what_their_configuration_says_that_they_know(
    sees: Callable[..., None], content: str, plane: str, model: str
):
    sees(content, plane=plane)
    assert triage_slice(LARGE.image).model == model


def test_reasons_are_plain_sentences(sees: Callable[..., None]):
    sees("t2")
    assert not_judged(triage_slice(LARGE.image).reason).headline == "Not judged: this looks like a T2-weighted slice"
    sees("flair", plane="coronal")
    assert (
        triage_slice(LARGE.image).reason
        == "this looks like FLAIR in the coronal plane, and the models for it know other planes"
    )


def test_what_the_file_states_comes_first_and_a_contradiction_is_said(sees: Callable[..., None]):
    sees("t2", share=0.97)
    found = triage_slice(LARGE.image, stated="flair")
    assert found.model == FLAGSHIP and found.notes == ("The file says FLAIR, but it looks like a T2-weighted slice.",)
    sees("t2", share=0.6)
    assert triage_slice(LARGE.image, stated="flair").notes == ()
    sees("flair")
    stated = triage_slice(LARGE.image, stated="t2")
    assert stated.model == "" and stated.reason == "the file says that this is a T2-weighted slice"


def test_a_person_may_ask_for_a_verdict_and_that_stays_marked(sees: Callable[..., None]):
    sees("none")
    found = triage_slice(LARGE.image, asked="flair")
    assert found.model == FLAGSHIP and found.is_asked and "because you said so" in found.notes[0]


def test_a_volume_is_looked_at_in_its_middle(sees: Callable[..., None]):
    voxels = np.repeat(LARGE.image.transpose(1, 0, 2)[:, :, None], 6, axis=2).astype(np.float32)
    volume = Volume("v", voxels, np.diag([-1.0, -1.0, 4.0, 1.0]), (1.0, 1.0, 4.0))
    sees("flair")
    assert triage_volume(volume, None).model == VOLUME_MODEL
    sees("post")
    assert triage_volume(volume, None).model == T1CE_MODEL
    assert triage_volume(volume, "flair").model == VOLUME_MODEL


def test_a_chosen_model_judges_what_it_knows_only(sees: Callable[..., None]):
    sees("flair")
    assert triage_slice(LARGE.image).with_model("unet").model == "unet"
    other = triage_slice(LARGE.image).with_model(T1CE_MODEL)
    assert other.model == "" and other.reason == "this is FLAIR, and ResUNet-Lite T1-CE knows contrast-enhanced T1"


@pytest.mark.parametrize("colour", [(0, 255, 0), (255, 30, 30), (255, 255, 0)])
def test_drawings_in_colour_change_no_verdict(colour: tuple[int, int, int]):
    grey = np.repeat(NONE.image[..., 1:2], 3, axis=2)
    drawn = np.ascontiguousarray(grey)
    cv2.line(drawn, (90, 100), (150, 160), colour, 2)
    cv2.putText(drawn, "23.4 mm", (155, 170), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1)
    clean, has_drawings = without_drawings(drawn)
    assert has_drawings and (np.ptp(clean, axis=2) == 0).all()
    assert np.abs(clean[..., 0].astype(float) - grey[..., 0]).mean() < 2
    pipeline = bundled()
    plain, marked = pipeline.predict(grey), pipeline.predict(drawn)
    assert verdict(plain).headline == verdict(marked).headline and LEFT_OUT in marked.notes


def test_three_sequences_are_no_drawing():
    assert not any(without_drawings(sample.image)[1] for sample in SAMPLES.values())
    assert not without_drawings(np.repeat(NONE.image[..., :1], 3, axis=2))[1]


def test_headlines_of_slices_by_hand():
    shape, small = (256, 256), int(SMALL_IN_SLICE * 256**2)
    assert headline_of(small, shape, EVEN - 0.01, 0.7) == FOUND and headline_of(small - 1, shape, EVEN - 0.01, 0.7) == UNCLEAR
    assert headline_of(1, shape, EVEN, 0.7) == FOUND and headline_of(1, shape, np.nan, np.inf) == FOUND
    assert headline_of(0, shape, 0.69, 0.7) == NOT_FOUND and headline_of(0, shape, 0.7, 0.7) == UNCLEAR


def test_headlines_of_volumes_by_hand():
    large = round(SMALL_IN_VOLUME * 64**2) + 1
    mask = np.zeros((3, 64, 64), bool)
    p_tumour = np.array([0.1, 0.6, np.nan], np.float32)
    assert headline_of_volume(mask, p_tumour, 0.7) == NOT_FOUND
    assert headline_of_volume(mask, np.array([0.1, 0.8, 0.1], np.float32), 0.7) == UNCLEAR
    mask[1].flat[:large] = True
    assert headline_of_volume(mask, p_tumour, 0.7) == FOUND
    assert headline_of_volume(mask, p_tumour / 2, 0.7) == UNCLEAR  # never a tumour beside a probability that denies it
    mask[1] = False
    mask[1].flat[: large - 3] = True
    assert headline_of_volume(mask, p_tumour, 0.7) == UNCLEAR
    mask[1].flat[:large] = True
    assert headline_of_volume(mask, np.full(3, np.nan, np.float32), np.inf) == FOUND


def test_the_verdict_names_the_sequence_and_the_kind():
    sample = ENHANCED["meningioma_convexity_axial"]
    prediction = bundled(T1CE_MODEL).predict(sample.image)
    said = verdict(prediction)
    assert said.headline == FOUND and said.figures.startswith("On contrast-enhanced T1; most like a meningioma, ")
    assert sum(prediction.kinds.values()) == pytest.approx(1, abs=1e-5)
    assert bundled(T1CE_MODEL).predict(sample.image[..., 0]).notes == ()  # one channel is what it knows
    summary = ScanSummary(checked_scan("a", sample.image[None]))
    summary.add(prediction)
    assert max(summary.content()["kinds"], key=summary.content()["kinds"].get) == "meningioma"
    assert str(verdict(replace(prediction, probability=np.zeros_like(prediction.probability)))).startswith(NOT_FOUND)


def test_what_is_not_judged_leaves_no_mask_on_the_command_line(command: Command, tmp_path: Path):
    photograph = tmp_path / "photograph.png"
    Image.fromarray(cv2.resize(load_sample_images().images[1], (256, 256))).save(photograph)
    done = command("predict", photograph, "--out", tmp_path / "out")
    line = json.loads(done.stdout)
    assert done.returncode == 0 and line["verdict"] == "Not judged: this does not look like an MR slice of a head"
    assert line["p_tumour"] is None and "tumour_pixels" not in line and not list((tmp_path / "out").glob("*"))
    forced = json.loads(command("predict", photograph, "--out", tmp_path / "out", "--as", "flair").stdout)
    assert forced["judged_all_the_same"] and "because you said so" in forced["notes"][0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photograph_mask.png"]


def test_an_examination_of_contrast_enhanced_t1_alone_is_judged_by_the_model_for_it(command: Command, tmp_path: Path):
    sample = ENHANCED["meningioma_convexity_axial"]
    voxels = np.repeat(sample.image[..., 0].T[:, ::-1, None], 5, axis=2).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1.0, 1.0, 5.0, 1.0])), tmp_path / "p_t1ce.nii.gz")
    line = json.loads(command("predict", tmp_path / "p_t1ce.nii.gz", "--out", tmp_path / "out").stdout)
    assert line["verdict"] == "Tumour found" and line["sequence"] == "post" and line["p_tumour"] is None


def test_a_missing_recogniser_is_one_sentence(tmp_path: Path):
    with pytest.raises(Exception, match="is missing or damaged; get the repository's weights again"):
        Recogniser(tmp_path)
