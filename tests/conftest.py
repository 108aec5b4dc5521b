"""A small data set in Kaggle's layout, made of the bundled simulated slices under names from the split file."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from streamlit.testing.v1 import AppTest

from resunet.catalogue import FLAGSHIP
from resunet.cli.main import main
from resunet.data import lgg
from resunet.data.samples import load_samples
from resunet.data.splits import read_split
from resunet.evaluation.measure import Settings, summarise
from resunet.inference.pipeline import TumourPipeline
from resunet.model_folder import CleanUp, ModelConfig, ModelFolder

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENTS = {"train": 4, "val": 2, "test": 2}


def patients_of(split: str, table: pd.DataFrame) -> list[str]:
    """Patients of 'train', 'val' or 'test', sorted."""
    return sorted(table.loc[table["split"] == split, "patient"])


def open_app(screen: str = "overview", **address: str) -> AppTest:
    """One screen of the app, by the name of its file, at an address."""
    app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=90)
    if screen == "single_image":  # AppTest finds a screen whose address is spelt otherwise only once the app has run
        app = app.switch_page("pages/demo/about.py").run()
    for key, value in address.items():
        app.query_params[key] = value
    (path,) = REPOSITORY.glob(f"pages/*/{screen}.py")
    app = (app if screen == "overview" else app.switch_page(str(path.relative_to(REPOSITORY)))).run()
    assert not app.exception
    return app


@cache
def bundled(model: str = FLAGSHIP) -> TumourPipeline:
    """A bundled model behind its stage 1, loaded once for all tests of this process."""
    return TumourPipeline.load(model)


def write_kaggle(root: Path) -> Path:
    """Write eight patients of three slices; every patient has one slice without tumour. Returns the data folder."""
    samples = load_samples()
    with_tumour = [sample for sample in samples if sample.mask.any()]
    without = [sample for sample in samples if not sample.mask.any()]
    table = read_split()
    patients = [patient for part, count in PATIENTS.items() for patient in patients_of(part, table)[:count]]
    for index, patient in enumerate(patients):
        chosen = [without[index % len(without)], with_tumour[2 * index], with_tumour[2 * index + 1]]
        folder = root / "kaggle_3m" / patient
        folder.mkdir(parents=True)
        for number, sample in enumerate(chosen, start=1):
            Image.fromarray(sample.image).save(folder / f"{patient}_{number}.tif")
            Image.fromarray(sample.mask.astype(np.uint8) * 255).save(folder / f"{patient}_{number}_mask.tif")
    return root


def model_config(**changes: Any) -> ModelConfig:
    """A small segmentation model's configuration, for folders that tests make."""
    config = ModelConfig(
        name="mine",
        display_name="Mine",
        architecture="resunet",
        task="segmentation",
        input_size=64,
        data_set=lgg.DESCRIPTION,
        preprocessing="none",
        split_scheme="patient",
        data_fingerprint="",
        split_hash="",
        patients={"train": ("a", "b"), "val": ("c",)},
        slices={"train": 4, "val": 2},
        parameters=1_203_937,
        gflop=0.2,
        versions={},
        git_commit=None,
        sha256={},
    )
    return replace(config, **changes)


def assert_rederived(folder: ModelFolder, evaluation: str) -> None:
    """The summary of an evaluation is what its slices.csv says, under the settings that the summary states."""
    stored, slices = folder.summary(evaluation), folder.slices(evaluation)
    assert stored is not None and slices is not None
    clean_up = CleanUp(**stored["postprocessing"])
    names = ("protocol", "threshold", "gate")
    settings = Settings(*(stored[name] for name in names), clean_up, stored["test_time_augmentation"])
    derived = summarise(slices, stored["model"], settings)
    assert stored | {"metrics": None} == derived | {"metrics": None}
    assert stored["metrics"].keys() == derived["metrics"].keys()
    for metric, figure in stored["metrics"].items():
        for key, value in figure.items():
            again = derived["metrics"][metric][key]
            assert (value is None and np.isnan(again)) or value == pytest.approx(again, abs=1e-12), (metric, key)


@pytest.fixture(scope="session")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kaggle(tmp_path_factory.mktemp("lgg"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``resunet`` with the given arguments in this process, in an empty folder."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        out, err, words = io.StringIO(), io.StringIO(), [str(argument) for argument in arguments]
        with monkeypatch.context() as changed, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            changed.chdir(tmp_path)
            changed.delenv("LGG_DATA", raising=False)
            for name, value in environment.items():
                changed.setenv(name, value)
            try:
                status = main(words)
            except SystemExit as end:
                status = int(end.code or 0)
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``python -m resunet`` with the given arguments as its own process, in an empty folder."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
        env.pop("LGG_DATA", None)
        return subprocess.run(
            [sys.executable, "-m", "resunet", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=env,
            cwd=tmp_path,
            timeout=240,
        )

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes one takes a file, since its tests share fixtures, and one all tests in the browser, first."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)
    for item in items:
        group = "browser" if item.get_closest_marker("browser") else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The app on a server of its own."""
    from benchmarks.server import serving

    with serving() as server:
        yield server.address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, not longer than it is needed: its event loop would stop every other one of this process."""
    from benchmarks.browser import browsing

    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, which knows nothing of the others."""
    from benchmarks.browser import VIEWPORT

    page = browser.new_page(viewport=VIEWPORT)
    yield page
    page.close()
