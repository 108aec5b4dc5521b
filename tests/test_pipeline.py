import threading

import numpy as np
import pytest
import torch

from resunet.artifacts import REPOSITORY, ModelFolder
from resunet.cards import model_card, results_table, with_results
from resunet.data.readers import ONE_CHANNEL
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.hub import FLAGSHIP, STAGE_1, find_model, list_models
from resunet.pipeline import TumourPipeline
from resunet.report import score_slice, verdict
from resunet.stages import Stage1, Stage2, load_model
from tests.conftest import assert_rederived

SAMPLES = {sample.name: sample for sample in load_samples()}
LARGE = SAMPLES["large_1"]


@pytest.fixture(scope="module")
def pipeline() -> TumourPipeline:
    return TumourPipeline.load()


def test_finds_and_outlines_what_is_plainly_there(pipeline: TumourPipeline):
    plain = [sample for sample in SAMPLES.values() if sample.kind in ("large", "typical")]
    found = pipeline.predict_batch([sample.image for sample in plain])
    assert all(not prediction.gated for prediction in found)
    assert np.mean([score_slice(p.mask, s.mask).dice for p, s in zip(found, plain, strict=True)]) > 0.8


def test_a_prediction_is_plain_numpy_in_the_sizes_of_the_input(pipeline: TumourPipeline):
    found = pipeline.predict(LARGE.image[20:220, 10:250])
    assert found.mask.shape == found.probability.shape == found.attention.shape == (200, 240)
    assert found.mask.dtype == bool and found.probability.dtype == np.float32
    assert found.probability.min() >= 0 and found.probability.max() <= 1
    assert 0 <= found.p_tumour <= 1 and found.attention.max() <= 1
    assert set(found.seconds) == {"prepare", "stage_1", "stage_2"} and min(found.seconds.values()) > 0
    assert found.uncertainty is None


def test_a_batch_says_what_single_slices_say(pipeline: TumourPipeline):
    images = [SAMPLES[name].image for name in ("large_1", "none_1", "small_2")]
    together = pipeline.predict_batch(images, segment_all=True)
    for image, found in zip(images, together, strict=True):
        alone = pipeline.predict(image, segment_all=True)
        assert alone.p_tumour == pytest.approx(found.p_tumour, abs=0.02)
        assert np.abs(alone.probability - found.probability).mean() < 1e-3


def test_a_volume_is_its_slices(pipeline: TumourPipeline):
    volume = np.stack([SAMPLES[name].image for name in ("none_1", "large_1", "none_2")])
    found = list(pipeline.predict_volume(volume, batch=2))
    assert len(found) == 3
    assert score_slice(found[1].mask, LARGE.mask).dice > 0.8


def test_the_gate_stops_and_can_be_moved(pipeline: TumourPipeline):
    found = pipeline.predict(LARGE.image, segment_all=True)
    stopped = found.at(gate=1.0)
    assert stopped.gated and not stopped.mask.any() and "No tumour found" in verdict(stopped)
    assert not stopped.at(gate=0.0).gated
    assert stopped.at(gate=0.0).mask.sum() == found.at(gate=0.0).mask.sum()


def test_a_stopped_slice_was_not_segmented(pipeline: TumourPipeline):
    empty = min(SAMPLES.values(), key=lambda sample: pipeline.predict(sample.image).p_tumour)
    strict = TumourPipeline(pipeline.stage_2, pipeline.stage_1)
    strict.gate = 0.999999
    found = strict.predict(empty.image)
    assert found.gated and found.probability is None and "stage_2" not in found.seconds
    with pytest.raises(InputError, match="segment_all=True"):
        found.at(gate=0.0)


def test_a_higher_threshold_never_grows_the_mask(pipeline: TumourPipeline):
    found = pipeline.predict(LARGE.image, segment_all=True)
    areas = [int(found.at(threshold, 0.0).mask.sum()) for threshold in (0.05, 0.3, 0.6, 0.95)]
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1] > 0


def test_flips_agree_with_the_mean_and_give_uncertainty(pipeline: TumourPipeline):
    found = pipeline.predict(LARGE.image, segment_all=True, tta=True)
    mirrored = pipeline.predict(LARGE.image[:, ::-1], segment_all=True, tta=True)
    assert found.uncertainty is not None and found.uncertainty.max() > 0
    assert np.abs(mirrored.probability[:, ::-1] - found.probability).mean() < 1e-3


def test_one_channel_is_used_for_three(pipeline: TumourPipeline):
    found = pipeline.predict(LARGE.image[..., 1])
    assert found.notes == (ONE_CHANNEL,)
    tripled = pipeline.predict(np.repeat(LARGE.image[..., 1:2], 3, axis=-1))
    assert tripled.p_tumour == found.p_tumour and tripled.notes == ()


@pytest.mark.parametrize("shape", [(3,), (4, 64, 64, 3), (64, 64, 5), (8, 8, 3)])
def test_what_is_no_slice_is_refused(pipeline: TumourPipeline, shape: tuple[int, ...]):
    with pytest.raises(InputError, match="The image"):
        pipeline.predict(np.ones(shape))


def test_bfloat16_outlines_what_float32_outlines(pipeline: TumourPipeline):
    exact = TumourPipeline.load(dtype=torch.float32)
    rounded = TumourPipeline.load(dtype=torch.bfloat16)
    images = [sample.image for sample in SAMPLES.values()]
    hits = totals = 0
    for a, b in zip(exact.predict_volume(np.stack(images)), rounded.predict_volume(np.stack(images)), strict=True):
        hits += 2 * int((a.mask & b.mask).sum())
        totals += int(a.mask.sum() + b.mask.sum())
        assert a.p_tumour == pytest.approx(b.p_tumour, abs=0.05)
    assert hits / totals >= 0.999


def test_threads_share_one_pipeline(pipeline: TumourPipeline):
    names = ["large_1", "typical_1", "none_1", "cavity_1"]
    alone = {name: pipeline.predict(SAMPLES[name].image).p_tumour for name in names}
    together: dict[str, float] = {}
    threads = [
        threading.Thread(target=lambda name=name: together.update({name: pipeline.predict(SAMPLES[name].image).p_tumour}))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_models_load_while_others_load_and_predict(pipeline: TumourPipeline):
    alone = pipeline.predict(LARGE.image).p_tumour
    found: list[float] = []

    def load_and_predict() -> None:
        found.append(TumourPipeline.load("resunet").predict(LARGE.image).p_tumour)

    threads = [threading.Thread(target=load_and_predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    found.extend(pipeline.predict(LARGE.image).p_tumour for _ in range(8))
    for thread in threads:
        thread.join()
    assert found == [alone] * 12


def test_without_stage_1_everything_is_segmented():
    found = TumourPipeline.load(classifier=None).predict(LARGE.image)
    assert found.p_tumour == 1.0 and not found.gated and found.mask.any()


def test_models_of_the_wrong_kind_are_refused():
    with pytest.raises(InputError, match="not a stage 2 model"):
        Stage2(find_model(STAGE_1))
    with pytest.raises(InputError, match="not a stage 1 model"):
        Stage1(find_model(FLAGSHIP))
    with pytest.raises(InputError, match="no model 'nonsense'.*resnet50"):
        TumourPipeline.load("nonsense")


@pytest.mark.parametrize("name", list_models())
def test_every_bundled_summary_follows_from_its_slices(name: str):
    folder: ModelFolder = find_model(name)
    assert "test" in folder.protocols() and "val" in folder.protocols()
    for protocol in folder.protocols():
        assert_rederived(folder, protocol)


@pytest.mark.parametrize("name", list_models())
def test_every_bundled_model_is_complete_and_honest(name: str):
    folder = find_model(name)
    config, history = folder.config(), folder.history()
    assert config["threshold_split"] == "val"
    assert folder.card_path.exists()
    if config["protocol"] != "slice":
        assert not set(config["patients"]["train"]) & set(config["patients"]["val"])
        assert not set(folder.slices("test")["patient"]) & set(config["patients"]["train"] + config["patients"]["val"])
    if "members" in config:
        assert load_model(folder) is not None and not folder.weights_path.exists()
        return
    assert config["best_epoch"] in set(history["epoch"])
    assert folder.snapshots_path.exists() == (config["task"] == "segmentation")
    if config["recipe"].get("keep_weights", True):
        assert folder.weights()
    else:
        assert not folder.weights_path.exists() and "weights are not kept" in folder.card_path.read_text(encoding="utf-8")


def test_cards_and_the_readme_are_what_the_files_say():
    folders = [find_model(name) for name in list_models()]
    for folder in folders:
        assert folder.card_path.read_text(encoding="utf-8") == model_card(folder), "run: resunet cards"
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert readme == with_results(readme, results_table(folders)), "run: resunet cards"


def test_all_rows_of_a_comparison_come_from_the_same_data_and_split():
    configs = [find_model(name).config() for name in list_models()]
    for protocol in {config["protocol"] for config in configs}:
        same = [config for config in configs if config["protocol"] == protocol]
        assert len({config["data_fingerprint"] for config in same}) == 1
        assert len({config["split_hash"] for config in same}) == 1
