import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from resunet import files
from resunet.artifacts import CHECKPOINT, SNAPSHOTS, WEIGHTS_FILE, ModelFolder
from resunet.data.augmentation import AugmentationRanges
from resunet.data.samples import load_samples
from resunet.data.sources import open_splits
from resunet.errors import InputError
from resunet.files import PackedMasks
from resunet.hub import FLAGSHIP, STAGE_1
from resunet.models import load_network
from resunet.training import loop, sampling, state
from resunet.training.loop import learning_rate, train
from resunet.training.recipes import RECIPES, STUDY, Phase, Recipe, find_recipe
from resunet.training.sampling import Draw, TrainingSet, epoch_plan
from tests.conftest import REPOSITORY

SMOKE = find_recipe("smoke")
NO_CHANGES = AugmentationRanges(0.0, 0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


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
    recipe = replace(SMOKE, samples_per_epoch=200, batch_size=10, tumour_share=0.6, simulated_share=0.1)
    has_tumour = np.arange(50) < 20
    plan = epoch_plan(has_tumour, 12, recipe, epoch=3)
    positions = np.array([draw.position for draw in plan])
    assert len(plan) == 200 and [draw.slot for draw in plan] == list(range(200))
    assert (positions >= 50).sum() == 20
    assert (positions < 20).sum() == 108
    counts = np.bincount(positions[positions < 20])
    assert counts.max() - counts.min() <= 1  # nobody is drawn twice more often than another
    assert plan == epoch_plan(has_tumour, 12, recipe, epoch=3) != epoch_plan(has_tumour, 12, recipe, epoch=4)


def test_examples_follow_from_their_draw(kaggle: Path):
    cache = loop.SliceCache(open_splits(kaggle).train, 256)
    examples = TrainingSet(cache, [], SMOKE)
    first, again, other = examples[Draw(1, 0, 5)], examples[Draw(1, 0, 5)], examples[Draw(1, 0, 6)]
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)
    assert first.images.shape == (3, 64, 64) and first.masks.shape == (1, 64, 64)
    assert set(first.masks.unique().tolist()) <= {0.0, 1.0}


def test_lesion_copy_paste_gives_empty_slices_a_tumour(kaggle: Path):
    cache = loop.SliceCache(open_splits(kaggle).train, 256)
    empty = int(np.flatnonzero(~cache.has_tumour)[0])
    for share, expected in ((0.0, set()), (1.0, {1.0})):
        recipe = replace(SMOKE, task="classification", augmentation=replace(NO_CHANGES, lesion_copy_paste=share))
        labels = {TrainingSet(cache, [], recipe)[Draw(empty, 0, slot)].labels.item() for slot in range(8)}
        assert labels - {0.0} == expected


def test_batches_made_ahead_are_the_same_batches_and_errors_come_through():
    batches = [sampling.Batch(*(torch.full((1,), float(n)) for _ in range(3))) for n in range(5)]
    assert list(loop.prefetched(iter(batches))) == batches

    def broken() -> Iterator[sampling.Batch]:
        yield batches[0]
        raise InputError("a slice cannot be read")

    with pytest.raises(InputError, match="cannot be read"):
        list(loop.prefetched(broken()))


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
        assert PackedMasks.of(dict(arrays)).shape == (2, len(load_samples()), 64, 64)


class Killed(Exception):
    pass


def run_killed_at(step: int, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until `step` optimiser steps are done, then break off without any clean-up."""
    done = 0
    original = loop.Trainer._step

    def counted(self: loop.Trainer, batch: sampling.Batch) -> float:
        nonlocal done
        if done == step:
            raise Killed
        done += 1
        return original(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Trainer, "_step", counted)
        patched.setattr(loop, "CHECKPOINT_STEPS", 1)
        with pytest.raises(Killed):
            train(SMOKE, data, out)


@pytest.mark.parametrize("step", [0, 1, 3, 4, 6])
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


def test_ctrl_c_leaves_a_usable_run(kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_killed_at(5, kaggle, tmp_path / "smoke", monkeypatch)  # in the second epoch
    run = ModelFolder(tmp_path / "smoke")
    assert load_network(run) is not None
    assert list(run.history()["epoch"]) == [1]


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
def test_two_processes_train_what_one_does(finished: ModelFolder, kaggle: Path, tmp_path: Path):
    out = tmp_path / "two"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*launcher, "-m", "resunet", "train", "--recipe", "smoke", "--data", str(kaggle), "--out", str(out)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = finished.history(), ModelFolder(out).history()
    for name in ("train_loss", "val_loss", "val_dice", "val_iou"):
        np.testing.assert_allclose(two[name], one[name], rtol=0.03, atol=5e-3, err_msg=name)


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
