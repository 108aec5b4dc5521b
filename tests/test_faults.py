"""Killed while writing, at random points: what was complete stays readable, and nothing half-written is ever read.

The jobs run in processes that are forked from one that has imported everything, so that kills fall into the work itself.
"""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from resunet.catalogue import list_models, pull
from resunet.cli.commands import export, promote
from resunet.cli.main import main
from resunet.cli.measuring import evaluate
from resunet.files import PackedMasks, file_sha256
from resunet.hub import Pin, push
from resunet.inference.fair_lock import FairLock
from resunet.inference.predict_files import Choices
from resunet.model_folder import CARD, CONFIG_FILE, HISTORY, MASKS, SNAPSHOTS, WEIGHTS_FILE, ModelFolder
from resunet.training import loop
from resunet.training.recipes import find_recipe
from tests.conftest import REPOSITORY, assert_rederived
from tests.hub_server import Hub, serving

SMOKE = find_recipe("smoke")
STARTING = 0.05  # seconds until a forked process is at work
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["resunet.cli.commands", "resunet.training.loop", "scipy.stats", "huggingface_hub"])

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def train_job(data: Path, out: Path) -> None:
    loop.CHECKPOINT_STEPS = 1
    loop.train(SMOKE, data, out, resume=True)


def evaluate_job(model: Path, data: Path, threshold: float) -> None:
    evaluate(str(model), data, "test", model / "evaluation" / "test", Choices(threshold))


def push_job(model: Path, address: str) -> None:
    os.environ["HF_ENDPOINT"] = address
    push(ModelFolder(model), "owner/name")


def pull_job(pin: str, to: Path, address: str, cache: Path) -> None:
    os.environ |= {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(cache)}
    pull(pin, to)


def start(job: Callable[..., None], *arguments: Any) -> Any:
    process = CONTEXT.Process(target=_quiet, args=(job, *arguments), daemon=True)
    process.start()
    return process


def _quiet(job: Callable[..., None], *arguments: Any) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    job(*arguments)


def killed(times: int, check: Callable[[], None], job: Callable[[int], Any]) -> None:
    """Start the job `times` times, kill it at a random point of its life, and look at what it left each time."""
    whole = min(lifetime(job(0)), lifetime(job(1)))
    check()
    rng = random.Random(0)
    ended = 0
    for number in range(2, times + 2):
        process = job(number)
        time.sleep(rng.uniform(STARTING, whole))
        process.kill()
        process.join()
        ended += process.exitcode == -9
        check()
    assert ended > times // 3, "most kills came too late"


def lifetime(process: Any) -> float:
    started = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


@pytest.fixture(scope="module")
def model(kaggle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faults") / "smoke"
    assert lifetime(start(train_job, kaggle, out)) > 0
    export(str(out))
    return out


def check_run(run: ModelFolder) -> None:
    """Every file that is there is whole, and they belong together."""
    history = run.history()
    if (run.path / CONFIG_FILE).exists():
        run.check(WEIGHTS_FILE)
    if (run.path / SNAPSHOTS).exists():
        with np.load(run.path / SNAPSHOTS) as arrays:
            assert PackedMasks.of(dict(arrays))[:].ndim == 4
    assert history is None or list(history["epoch"]) == list(range(1, len(history) + 1))


def test_training_killed_forty_times_ends_like_one_that_was_not(kaggle: Path, model: Path, tmp_path: Path):
    run, rng = ModelFolder(tmp_path / "smoke"), random.Random(1)
    whole = lifetime(start(train_job, kaggle, tmp_path / "other"))
    finished = 0
    for _ in range(40):
        process = start(train_job, kaggle, run.path)
        time.sleep(rng.uniform(STARTING, 0.6 * whole))
        process.kill()
        process.join()
        check_run(run)
        if process.exitcode == 0:  # begin again
            finished += 1
            assert file_sha256(run.path / WEIGHTS_FILE) == file_sha256(ModelFolder(model).path / WEIGHTS_FILE)
            shutil.rmtree(run.path)
    assert lifetime(start(train_job, kaggle, run.path)) > 0
    assert file_sha256(run.path / WEIGHTS_FILE) == file_sha256(ModelFolder(model).path / WEIGHTS_FILE)
    pd.testing.assert_frame_equal(run.history().drop(columns="seconds"), ModelFolder(model).history().drop(columns="seconds"))


def test_an_evaluation_killed_thirty_times_is_the_old_or_the_new_one(kaggle: Path, model: Path):
    folder = ModelFolder(model)

    def check() -> None:
        assert_rederived(folder, "test")
        assert len(PackedMasks.of(folder.arrays(folder.evaluation_path("test", MASKS)))) == len(folder.slices("test"))

    killed(30, check, lambda number: start(evaluate_job, model, kaggle, (0.3, 0.7)[number % 2]))


def test_a_promotion_killed_fifteen_times_leaves_a_whole_model(model: Path, tmp_path: Path):
    target = ModelFolder(tmp_path / "weights" / "smoke")

    def check() -> None:
        assert target.check(WEIGHTS_FILE) and (target.path / CARD).read_text().endswith("\n")
        assert list_models(target.path.parent) == ["smoke"]

    killed(15, check, lambda number: start(promote, model, target.path))


def test_a_pull_killed_twenty_times_leaves_a_whole_model(model: Path, tmp_path: Path):
    with serving(Hub()) as server:
        pin = push_here(server, model)
        target = ModelFolder(tmp_path / "weights" / "smoke")

        def check() -> None:
            assert target.check(WEIGHTS_FILE) and target.history() is not None

        def job(number: int) -> Any:
            shutil.rmtree(tmp_path / f"cache{number - 1}", ignore_errors=True)
            return start(pull_job, f"{pin.repo}@{pin.revision}", target.path, server.address, tmp_path / f"cache{number}")

        killed(20, check, job)


def test_a_push_killed_twenty_times_leaves_whole_commits(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(Hub()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)

        def check() -> None:
            newest = list(server.commits)[-1]
            shutil.rmtree(tmp_path / "pulled", ignore_errors=True)
            assert ModelFolder(pull(f"owner/name@{newest}", tmp_path / "pulled")).check(WEIGHTS_FILE)

        killed(20, check, lambda number: start(push_job, model, server.address))


def push_here(server: Hub, model: Path) -> Pin:
    files = [path for path in model.rglob("*") if path.is_file() and not path.name.startswith((".", "checkpoint"))]
    return Pin("owner/name", server.commit({str(path.relative_to(model)): path.read_bytes() for path in files}))


def test_a_killed_worker_ends_the_others_and_the_run_goes_on(kaggle: Path, model: Path, tmp_path: Path):
    run = ModelFolder(tmp_path / "smoke")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*launcher, "-m", "resunet", "train", "--recipe", "smoke", "--data", str(kaggle), "--out", str(run.path)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as launched:
        while not (run.path / HISTORY).exists() and launched.poll() is None:
            time.sleep(0.02)
        psutil.Process(launched.pid).children()[-1].kill()
        assert launched.wait(60) != 0
    check_run(run)
    loop.train(SMOKE, kaggle, run.path, resume=True)
    history = run.history()
    assert list(history["epoch"]) == [1, 2] and run.check(WEIGHTS_FILE)
    # On processors each normalises its own half of the batch, so the losses are near, not equal.
    np.testing.assert_allclose(history["train_loss"], ModelFolder(model).history()["train_loss"], rtol=0.15)


def test_a_clock_that_jumps_changes_nothing(kaggle: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    jumps = itertools.cycle((1e9, -1e6, 4e9, 0.0))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    run = loop.train(SMOKE, kaggle, tmp_path / "smoke")
    np.testing.assert_allclose(run.history()["val_loss"], ModelFolder(model).history()["val_loss"], rtol=0.01)
    assert (run.history()["seconds"] >= 0).all() and run.history()["seconds"].sum() < 300
    line = FairLock(2)
    with line.hold(lambda ahead: None):
        pass


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_takes_nothing_is_one_sentence_and_no_loss(
    code: int, kaggle: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    evaluate(str(model), kaggle, "test")
    before = {path: file_sha256(path) for path in model.rglob("*") if path.is_file()}

    def refused(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(model))

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    monkeypatch.setattr(tempfile, "mkstemp", refused)
    capsys.readouterr()
    for command in (["evaluate", str(model), "--data", str(kaggle)], ["tune", str(model), "--data", str(kaggle)]):
        assert main(command) == 2
        sentence = capsys.readouterr().err.splitlines()[-1]
        assert sentence == f"resunet: {os.strerror(code)} ({model}); nothing that was complete has been changed."
    assert {path: file_sha256(path) for path in model.rglob("*") if path.is_file()} == before
