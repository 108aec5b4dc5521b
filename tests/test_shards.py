"""Long lists: shared by several processes, and gone on with after an end."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resunet.catalogue import FLAGSHIP, STAGE_1
from resunet.data.samples import load_samples
from resunet.errors import InputError
from resunet.evaluation.volume_scores import ROWS, measure_cases, measure_in_shards
from resunet.examination import measurable_volumes, nifti_below
from resunet.inference.shards import Shard
from tests.test_volume_cases import folder as folder  # a fixture
from tests.test_volumes import Bright

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("names", [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")])
def test_two_ranks_share_everything_once(names: tuple[str, str], monkeypatch: pytest.MonkeyPatch):
    assert Shard.of_launcher() == Shard(0, 1)
    parts = []
    for rank in range(2):
        monkeypatch.setenv(names[0], str(rank))
        monkeypatch.setenv(names[1], "2")
        parts += Shard.of_launcher().of(range(7))
    assert sorted(parts) == list(range(7))
    monkeypatch.setenv(names[0], "2")
    with pytest.raises(InputError, match=f"{names[0]} is 2, which must be below"):
        Shard.of_launcher()


def test_two_processes_predict_a_folder_and_a_second_start_leaves_out_what_is_done(command: Command, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for sample in load_samples()[:3]:
        (tmp_path / "in" / f"{sample.name}.png").write_bytes(sample.png)
    arguments = ("predict", tmp_path / "in", "--out", tmp_path / "out", "--resume")
    files = []
    for rank in ("0", "1"):
        done = command(*arguments, SLURM_PROCID=rank, SLURM_NTASKS="2")
        assert done.returncode == 0, done.stderr
        files += [Path(json.loads(line)["file"]).stem for line in done.stdout.splitlines()]
    assert sorted(files) == sorted(sample.name for sample in load_samples()[:3])
    (tmp_path / "out" / f"{files[0]}_mask.png").unlink()
    (again,) = command(*arguments).stdout.splitlines()
    assert Path(json.loads(again)["file"]).stem == files[0]


def test_two_ranks_measure_cases_and_the_last_has_all(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cases, _ = measurable_volumes(nifti_below(folder))
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert measure_in_shards(Bright(), cases, tmp_path, False) is None
    monkeypatch.setenv("SLURM_PROCID", "1")
    measured = measure_in_shards(Bright(), cases, tmp_path, False)
    whole = measure_cases(Bright(), cases)
    pd.testing.assert_frame_equal(measured.table.drop(columns="seconds"), whole.table.drop(columns="seconds"))


def test_what_was_kept_is_taken_only_from_the_same_model_and_threshold(folder: Path, tmp_path: Path):
    cases, _ = measurable_volumes(nifti_below(folder))
    first = measure_in_shards(Bright(), cases, tmp_path, False)
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / ROWS).iterdir())]
    measure_in_shards(Bright(), cases, tmp_path, False)
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / ROWS).iterdir())] == stamps
    changed = Bright()
    changed.threshold = 0.99
    second = measure_in_shards(changed, cases, tmp_path, False)
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / ROWS).iterdir())] != stamps
    assert np.isfinite(first.table["dice"]).any() and len(second.table) == 2


@pytest.mark.parametrize("model", [FLAGSHIP, pytest.param(STAGE_1, marks=pytest.mark.slow)])
def test_two_ranks_measure_slices_as_one_process_does(model: str, kaggle: Path, command: Command, tmp_path: Path):
    arguments = ("evaluate", model, "--data", kaggle, "--split", "test")
    for rank, last in (("0", "done with this process's share"), ("1", f"{model}, test: ")):
        done = command(*arguments, "--out", tmp_path / "shared", SLURM_PROCID=rank, SLURM_NTASKS="2")
        assert done.returncode == 0 and done.stdout.startswith(last), done.stderr
    assert command(*arguments, "--out", tmp_path / "alone").returncode == 0
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {path.name for path in (tmp_path / "alone").iterdir()}
    for name in ("slices.csv", "summary.json"):
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    for path in (tmp_path / "alone").glob("*.npz"):
        with np.load(path) as alone, np.load(tmp_path / "shared" / path.name) as shared:
            assert all(np.array_equal(alone[name], shared[name], equal_nan=alone[name].dtype.kind == "f") for name in alone)
