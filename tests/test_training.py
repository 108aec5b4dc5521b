import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from resunet import files
from resunet.catalogue import FLAGSHIP, STAGE_1
from resunet.data.augmentation import STRONG, AugmentationRanges
from resunet.data.samples import REPLAY, load_samples
from resunet.data.sources import open_splits
from resunet.data.splits import read_split
from resunet.errors import InputError
from resunet.files import PackedMasks
from resunet.model_folder import CHECKPOINT, CONFIG_FILE, SNAPSHOTS, WEIGHTS_FILE, ModelFolder
from resunet.models import load_network
from resunet.training import loop, sampling, state
from resunet.training.average import averaged
from resunet.training.loop import learning_rate, train
from resunet.training.publish import describe_run
from resunet.training.recipes import RECIPES, STUDY, Phase, Recipe, find_recipe
from resunet.training.sampling import Draw, TrainingSlices, epoch_plan
from resunet.training.step import Step
from resunet.training.validation import validation_batches
from tests.conftest import REPOSITORY, patients_of, write_kaggle

SMOKE = find_recipe("smoke")
VOLUME = replace(SMOKE, name="smoke_3d", architecture="resunet_lite_3d", slices_per_example=4, batch_size=8)
NO_CHANGES = AugmentationRanges(0.0, 0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


NO_NOISE = replace(STRONG, noise=0.0)


def test_schedule_warms_up_then_falls_along_a_cosine():
    recipe = replace(SMOKE, phases=(Phase(10, 64),), learning_rate=1.0, warmup_epochs=1.0)  # 4 steps an epoch
    rates = [learning_rate(recipe, step) for step in range(40)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[22] == pytest.approx(0.01 + 0.99 * 0.5, abs=1e-9)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[4:]))
    assert 0.01 < rates[-1] < 0.02


def test_phases_follow_one_another():
    recipe = replace(SMOKE, phases=(Phase(2, 64), Phase(1, 128)))
    assert [recipe.phase_of(epoch).size for epoch in range(3)] == [64, 64, 128]
    assert recipe.epochs == 3 and recipe.input_size == 128
    with pytest.raises(IndexError):
        recipe.phase_of(3)


def test_an_epoch_draws_the_shares_that_the_recipe_says():
    recipe = replace(SMOKE, samples_per_epoch=200, batch_size=10, tumour_share=0.6)
    has_tumour = np.arange(50) < 20
    nobody = np.zeros(50, bool)
    plan = epoch_plan(has_tumour, nobody, recipe, epoch=3)
    positions = np.array([draw.position for draw in plan])
    assert len(plan) == 200 and [draw.slot for draw in plan] == list(range(200))
    assert (positions < 20).sum() == 120
    counts = np.bincount(positions[positions < 20])
    assert counts.max() - counts.min() <= 1  # nobody is drawn twice more often than another
    assert plan == epoch_plan(has_tumour, nobody, recipe, epoch=3) != epoch_plan(has_tumour, nobody, recipe, epoch=4)


@pytest.mark.parametrize("tumours", [0, 50], ids=["no slice shows a tumour", "every slice shows one"])
def test_an_epoch_is_whole_where_a_group_is_empty(tumours: int):
    recipe = replace(SMOKE, samples_per_epoch=200, batch_size=10)
    plan = epoch_plan(np.arange(50) < tumours, np.zeros(50, bool), recipe, epoch=0)
    assert len(plan) == 200
    assert set(np.bincount([draw.position for draw in plan])) == {4}


def test_people_without_a_tumour_have_their_share_of_an_epoch():
    recipe = replace(SMOKE, samples_per_epoch=200, batch_size=10, without_tumour_share=0.25)
    people = np.arange(50) >= 40
    positions = np.array([draw.position for draw in epoch_plan(np.arange(50) < 20, people, recipe, epoch=0)])
    assert [int(((positions >= low) & (positions < high)).sum()) for low, high in ((0, 20), (20, 40), (40, 50))] == [75, 75, 50]
    alone = epoch_plan(np.zeros(10, bool), np.ones(10, bool), recipe, epoch=0)
    assert len(alone) == 200


CPU = torch.device("cpu")


def test_examples_follow_from_their_draw_whatever_stands_beside_them(kaggle: Path):
    cache = loop.SliceCache(open_splits(kaggle).train, 256)
    slices = TrainingSlices(cache, replace(SMOKE, augmentation=STRONG), CPU)
    batch = slices.batch([Draw(1, 0, 5), Draw(2, 0, 9), Draw(1, 0, 6)])
    alone = slices.batch([Draw(1, 0, 5)])
    torch.testing.assert_close(batch.images[:1], alone.images, atol=1e-5, rtol=1e-5)
    assert torch.equal(batch.masks[:1], alone.masks) and torch.equal(alone.images, slices.batch([Draw(1, 0, 5)]).images)
    assert not torch.equal(batch.images[0], batch.images[2])
    assert batch.images.shape == (3, 3, 64, 64) and batch.masks.shape == (3, 1, 64, 64)
    assert batch.labels.tolist() == [[float(mask.any())] for mask in batch.masks]
    assert set(batch.masks.unique().tolist()) <= {0.0, 1.0}


def test_lesion_copy_paste_gives_empty_slices_a_tumour(kaggle: Path):
    cache = loop.SliceCache(open_splits(kaggle).train, 256)
    empty = int(np.flatnonzero(~cache.has_tumour)[0])
    for share, expected in ((0.0, set()), (1.0, {1.0})):
        recipe = replace(SMOKE, task="classification", augmentation=replace(NO_CHANGES, lesion_copy_paste=share))
        batch = TrainingSlices(cache, recipe, CPU).batch([Draw(empty, 0, slot) for slot in range(8)])
        assert set(batch.labels.flatten().tolist()) - {0.0} == expected


def test_a_sequence_surrounds_its_slice_and_mostly_stays_inside_the_patient():
    drawn = [sampling.slices_around(7, range(4, 24), 6, np.random.default_rng(seed)) for seed in range(300)]
    assert all(7 in places and len(places) == 6 and min(places) >= 4 and max(places) < 24 for places in drawn)
    whole = [places == list(range(places[0], places[0] + 6)) for places in drawn]
    assert 0.85 < np.mean(whole) < 1.0  # of the 300, a fifth are not moved inside, and 2 of 6 starts lie outside
    assert {places.index(7) for places, each in zip(drawn, whole, strict=True) if each} == {0, 1, 2, 3}
    short = sampling.slices_around(5, range(4, 7), 6, np.random.default_rng(0))
    assert sorted(short) == short and set(short) <= {4, 5, 6} and 5 in short


def test_slices_of_a_sequence_share_geometry_and_intensities_but_not_noise(kaggle: Path):
    cache = loop.SliceCache(open_splits(kaggle).train, 256)
    cache.images[:], cache.masks[:] = cache.images[0], cache.masks[0]  # then equal draws give equal pictures
    for ranges, same in ((NO_NOISE, True), (STRONG, False)):
        recipe = replace(VOLUME, augmentation=replace(ranges, lesion_copy_paste=0.0))
        batch = TrainingSlices(cache, recipe, CPU).batch([Draw(1, 0, 5), Draw(1, 0, 6)])
        assert batch.images.shape == (8, 3, 64, 64)
        first, second = batch.images.split(4)
        assert all(torch.equal(first[0], other) for other in first[1:]) is same
        assert torch.equal(batch.masks[0], batch.masks[3]) and not torch.equal(first[0], second[0])


def test_an_epoch_of_sequences_counts_slices():
    recipe = replace(VOLUME, samples_per_epoch=64, batch_size=16, tumour_share=0.75)
    plan = epoch_plan(np.arange(40) < 20, np.zeros(40, bool), recipe, epoch=0)
    assert recipe.steps_per_epoch == 4 and len(plan) == 16
    assert sum(draw.position < 20 for draw in plan) == 12


def test_sequences_refuse_what_would_tear_them_apart():
    with pytest.raises(ValueError, match="whole batches"):
        replace(VOLUME, batch_size=10)
    with pytest.raises(ValueError, match="copied lesions"):
        replace(VOLUME, augmentation=STRONG)


def test_training_goes_on_from_a_models_weights(kaggle: Path, finished: ModelFolder):
    recipe = replace(SMOKE, start_from=str(finished.path))
    splits = open_splits(kaggle, recipe.split_scheme)
    cache = loop.SliceCache(splits.seen("train"), 256)
    config = describe_run("smoke", recipe, splits)
    network = loop.Trainer(recipe, ModelFolder(Path("unused")), config, cache, cache).model
    theirs = load_file(finished.path / WEIGHTS_FILE)
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())
    assert config.initialisation == f"from the trained weights of {finished.path}"


@pytest.mark.parametrize("recipe", [SMOKE, find_recipe("smoke_stage1"), VOLUME], ids=lambda recipe: recipe.name)
def test_no_tensor_is_made_on_another_device_than_the_batch(recipe: Recipe, kaggle: Path, monkeypatch: pytest.MonkeyPatch):
    """On the device `meta`, which holds no numbers, an operation that mixes devices fails as it would on a GPU."""
    meta = torch.device("meta")
    monkeypatch.setattr(loop, "mixed_precision", lambda *_: nullcontext())  # autocast does not know the device
    splits = open_splits(kaggle)
    cache = loop.SliceCache(splits.train, 256)
    slices = TrainingSlices(cache, replace(recipe, augmentation=replace(NO_NOISE, lesion_copy_paste=0.0)), meta)
    batch = slices.batch([Draw(position, 0, position) for position in range(4)])
    assert all(tensor.device == meta for tensor in batch)
    trainer = loop.Trainer(recipe, ModelFolder(Path("unused")), describe_run("smoke", recipe, splits), cache, cache)
    for moved in (trainer.model, trainer.average.module):
        moved.to(meta)
    trainer.device = meta
    loss = trainer._loss_of(batch)
    loss.backward()
    assert loss.device == meta
    for _, validation in validation_batches(cache, recipe, meta):
        assert all(tensor.device == meta for tensor in validation)


def test_the_average_follows_by_hand():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    average, values = averaged(model, 0.5), []
    for value in (4.0, 8.0, 16.0, 32.0, 64.0):
        with torch.no_grad():
            model[0].weight.fill_(value)
        average.update_parameters(model)
        values.append(average.module[0].weight.item())
    # Decays 0, 2/11, 3/12, 4/13 and 5/14, all of them below 0.5.
    expected = [4.0]
    for updates, value in enumerate((8.0, 16.0, 32.0, 64.0), start=1):
        decay = (1 + updates) / (10 + updates)
        expected.append(decay * expected[-1] + (1 - decay) * value)
    assert values == pytest.approx(expected, rel=1e-6)
    assert not average.module.training


def test_the_first_step_of_adam_is_the_rate_whatever_the_gradient():
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    batch = sampling.Batch(*(torch.ones(1, 1) for _ in range(4)))
    step = Step(model, optimiser, lambda batch: (model(batch.images) ** 2).sum(), clip_norm=1.0, graphs=False)
    assert step(batch).item() == 4.0
    assert model.weight.item() == pytest.approx(2.0 - 0.1, abs=1e-6)


@pytest.fixture(scope="module")
def finished(kaggle: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return train(SMOKE, kaggle, tmp_path_factory.mktemp("runs") / "smoke")


def test_a_run_leaves_a_complete_model_folder(finished: ModelFolder):
    config, history = finished.config(), finished.history()
    assert history is not None
    assert list(history["epoch"]) == [1, 2]
    assert {"lr", "train_loss", "val_loss", "val_dice", "val_iou", "seconds"} <= set(history.columns)
    assert config.sha256 == {WEIGHTS_FILE: files.file_sha256(finished.path / WEIGHTS_FILE)}
    assert config.best_epoch == int(history.loc[history["val_dice"].idxmax(), "epoch"])
    assert len(config.patients["train"]) == 4 and config.slices == {"train": 12, "val": 6}
    assert len(config.data_fingerprint) == len(config.split_hash) == 64
    assert load_network(finished)(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)
    with np.load(finished.path / SNAPSHOTS) as arrays:
        assert PackedMasks.of(dict(arrays)).shape == (2, len(load_samples(REPLAY)), 64, 64)


class Killed(Exception):
    pass


def run_killed_at(step: int, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe = SMOKE) -> None:
    """Train until `step` optimiser steps are done, then break off without any clean-up."""
    done = 0
    original = loop.Trainer._step

    def counted(self: loop.Trainer, batch: sampling.Batch) -> torch.Tensor:
        nonlocal done
        if done == step:
            raise Killed
        done += 1
        return original(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Trainer, "_step", counted)
        patched.setattr(loop, "CHECKPOINT_STEPS", 1)
        with pytest.raises(Killed):
            train(recipe, data, out)


@pytest.mark.parametrize("step", [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 1, 4, 6))])
def test_killed_and_resumed_equals_uninterrupted(
    step: int, finished: ModelFolder, kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run_killed_at(step, kaggle, tmp_path / "smoke", monkeypatch)
    resumed = train(SMOKE, kaggle, tmp_path / "smoke", resume=True)
    for file in (WEIGHTS_FILE, CHECKPOINT):
        expected, got = load_file(finished.path / file), load_file(resumed.path / file)
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[name], got[name]) for name in expected)
    pd.testing.assert_frame_equal(resumed.history().drop(columns="seconds"), finished.history().drop(columns="seconds"))
    assert (resumed.path / SNAPSHOTS).read_bytes() == (finished.path / SNAPSHOTS).read_bytes()


@pytest.mark.slow
def test_a_volume_models_run_resumes_exactly(kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = train(VOLUME, kaggle, tmp_path / "whole")
    run_killed_at(3, kaggle, tmp_path / "killed", monkeypatch, VOLUME)
    resumed = train(VOLUME, kaggle, tmp_path / "killed", resume=True)
    expected, got = load_file(whole.path / CHECKPOINT), load_file(resumed.path / CHECKPOINT)
    assert expected.keys() == got.keys() and all(torch.equal(expected[name], got[name]) for name in expected)
    assert not (whole.path / SNAPSHOTS).exists() and whole.config().context == 4


@pytest.mark.slow
def test_a_process_killed_by_the_system_resumes_to_the_same_weights(finished: ModelFolder, kaggle: Path, tmp_path: Path):
    out = tmp_path / "smoke"
    line = [sys.executable, "-m", "resunet", "train", "--recipe", "smoke", "--data", str(kaggle), "--out", str(out)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(line, env=env, stderr=subprocess.DEVNULL) as process:
        while not (out / "history.csv").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    subprocess.run([*line, "--resume"], env=env, check=True, stderr=subprocess.DEVNULL)
    got, expected = load_file(out / "model.safetensors"), load_file(finished.path / WEIGHTS_FILE)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.mark.slow
def test_ctrl_c_leaves_a_usable_run(kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_killed_at(5, kaggle, tmp_path / "smoke", monkeypatch)  # in the second epoch
    run = ModelFolder(tmp_path / "smoke")
    assert load_network(run) is not None
    assert list(run.history()["epoch"]) == [1]


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_checkpoint(kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_killed_at(3, kaggle, tmp_path / "smoke", monkeypatch)
    checkpoint = ModelFolder(tmp_path / "smoke").path / CHECKPOINT
    before = checkpoint.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(state, "save_file", no_space)
        with pytest.raises(OSError, match="No space left"):
            train(SMOKE, kaggle, tmp_path / "smoke", resume=True)
    assert checkpoint.read_bytes() == before
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == [".lock", "checkpoint.safetensors"]
    assert train(SMOKE, kaggle, tmp_path / "smoke", resume=True).check(WEIGHTS_FILE)


def test_a_damaged_checkpoint_is_named(kaggle: Path, tmp_path: Path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="checkpoint.safetensors cannot be resumed from"):
        train(SMOKE, kaggle, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changes", "names"), [({"seed": 7}, "seed"), ({"learning_rate": 9.0, "batch_size": 2}, "batch_size, learning_rate")]
)
def test_a_run_of_another_recipe_is_not_resumed(
    finished: ModelFolder, kaggle: Path, tmp_path: Path, changes: dict[str, int], names: str
):
    shutil.copytree(finished.path, tmp_path / "smoke")
    before = (tmp_path / "smoke" / CONFIG_FILE).read_bytes()
    with pytest.raises(InputError, match=f"is of a run with other {names}; train elsewhere, or leave --resume out"):
        train(replace(SMOKE, **changes), kaggle, tmp_path / "smoke", resume=True)
    assert (tmp_path / "smoke" / CONFIG_FILE).read_bytes() == before


def test_a_run_on_other_data_is_not_resumed(finished: ModelFolder, tmp_path: Path):
    shutil.copytree(finished.path, tmp_path / "smoke")
    other = write_kaggle(tmp_path / "other")
    patient = patients_of("train", read_split())[0]
    for path in (other / "kaggle_3m" / patient).glob(f"{patient}_1*.tif"):
        path.unlink()
    with pytest.raises(InputError, match="is of a run with other data"):
        train(SMOKE, other, tmp_path / "smoke", resume=True)


@pytest.mark.slow
def test_early_stopping_waits_for_the_last_phase(kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    figures = iter([0.5, 0.4, 0.3, 0.2, 0.2, 0.2, 0.2])
    monkeypatch.setattr(loop, "validate", lambda *_: {"val_loss": 1.0, "val_dice": next(figures), "val_iou": 0.1})
    recipe = replace(SMOKE, phases=(Phase(2, 64), Phase(5, 64)), samples_per_epoch=4, patience=2)
    run = train(recipe, kaggle, tmp_path / "early")
    assert run.config().best_epoch == 1
    assert len(run.history()) == 5  # two of the first phase, then two without improvement after the last phase's first


@pytest.mark.slow
def test_stage_1_trains_on_the_masks_too(kaggle: Path, tmp_path: Path):
    run = train(find_recipe("smoke_stage1"), kaggle, tmp_path / "stage1")
    assert {"val_accuracy", "val_auroc"} <= set(run.history().columns)
    names = set(load_file(run.path / WEIGHTS_FILE))
    assert names and all(name.startswith("backbone.") for name in names)  # the mask heads are dropped


@pytest.mark.slow
def test_two_processes_learn_as_one_does(finished: ModelFolder, kaggle: Path, tmp_path: Path):
    out = tmp_path / "two"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*launcher, "-m", "resunet", "train", "--recipe", "smoke", "--data", str(kaggle), "--out", str(out)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = finished.history(), ModelFolder(out).history()
    # On processors each normalises its own half of the batch, so the losses are near, not equal.
    np.testing.assert_allclose(two["train_loss"], one["train_loss"], rtol=0.15)


def test_every_recipe_is_consistent():
    for name, recipe in RECIPES.items():
        assert isinstance(recipe, Recipe) and recipe.name == name
        assert recipe.samples_per_epoch % recipe.batch_size == 0
        assert recipe.task in ("segmentation", "classification")
    with pytest.raises(InputError, match="no recipe 'best'"):
        find_recipe("best")


def test_the_study_trains_the_gate_before_what_it_guards():
    assert STUDY[0].name == STAGE_1 and STUDY[1].name == FLAGSHIP
    assert RECIPES["resnet50_slice"].architecture == "resnet50" and RECIPES["resnet50_slice"].split_scheme == "slice"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recorded_step_is_the_plain_one(kaggle: Path):
    cache = loop.SliceCache(open_splits(kaggle).train, 256)
    recipe = replace(SMOKE, augmentation=NO_NOISE)
    config = describe_run("smoke", recipe, open_splits(kaggle))
    after = []
    for graphs in (False, True):
        trainer = loop.Trainer(recipe, ModelFolder(Path("unused")), config, cache, cache)
        trainer.step = Step(trainer.model, trainer.optimiser, trainer._loss_of, recipe.clip_norm, graphs)
        slices = TrainingSlices(cache, recipe, trainer.device)
        trainer.model.train()
        losses = []
        for done in range(6):
            trainer._set_rate(learning_rate(recipe, done))
            losses.append(trainer._step(slices.batch([Draw(slot, 0, slot) for slot in range(4)])).item())
        after.append((losses, trainer.average.module.state_dict()))
    np.testing.assert_allclose(after[0][0], after[1][0], rtol=2e-2)
    for name, tensor in after[0][1].items():
        torch.testing.assert_close(after[1][1][name], tensor, rtol=5e-2, atol=2e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_resumes_and_leaves_a_complete_folder(kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_killed_at(3, kaggle, tmp_path / "smoke", monkeypatch)
    run = train(SMOKE, kaggle, tmp_path / "smoke", resume=True)
    assert list(run.history()["epoch"]) == [1, 2] and load_network(run) is not None
