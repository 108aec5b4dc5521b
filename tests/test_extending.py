"""docs/extending.md and the README's quick start, run as they stand there."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from resunet.data.samples import load_samples
from resunet.losses import LOSSES
from resunet.models import MODELS
from tests.conftest import REPOSITORY


def blocks(document: str) -> list[str]:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def organ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder data set of another organ, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MODELS, "shallow", None)
    monkeypatch.setitem(LOSSES, "recall_first", None)
    for kind in ("images", "masks"):
        (tmp_path / "my_organ" / kind).mkdir(parents=True)
    samples = [sample for sample in load_samples() if sample.mask.any()][:6]
    for number, sample in enumerate(samples):
        Image.fromarray(sample.image[::4, ::4]).save(tmp_path / "my_organ" / "images" / f"p{number // 2}_{number}.png")
        mask = Image.fromarray(sample.mask[::4, ::4].astype(np.uint8) * 255)
        mask.save(tmp_path / "my_organ" / "masks" / f"p{number // 2}_{number}.png")
    split = pd.DataFrame({"patient": ["p0", "p1", "p2"], "split": ["train", "val", "test"]})
    split.to_csv(tmp_path / "my_organ" / "split.csv", index=False)
    return tmp_path


def test_a_model_a_loss_and_a_data_set_are_added(organ: Path, capsys: pytest.CaptureFixture[str]):
    code = [block for block in blocks("docs/extending.md") if not block.startswith("# ")]
    assert len(code) == 4
    names: dict[str, object] = {"__name__": "extending"}
    for block in code:
        exec(compile(block, "docs/extending.md", "exec"), names)
    config = names["model"].config()
    assert (config["architecture"], config["recipe"]["loss"]) == ("shallow", "recall_first")
    assert config["parameters"] == sum(p.numel() for p in MODELS["shallow"]().parameters())
    assert "train_loss" in capsys.readouterr().out and len(names["model"].history()) == 2
    assert list(names["found"].slices["tumour_pixels"]) == [int(names["Synthetic"]("a", n).mask().sum()) for n in (1, 2, 1)]


def test_a_screen_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    screen, line = (block for block in blocks("docs/extending.md") if block.startswith("# "))
    path = tmp_path / screen.splitlines()[0].removeprefix("# ")
    shutil.copytree(REPOSITORY / "pages", tmp_path / "pages", ignore=shutil.ignore_patterns("__pycache__"))
    path.write_text(screen)
    before, end, after = (REPOSITORY / "app.py").read_text().rpartition("    ]\n    st.navigation")
    (tmp_path / "app.py").write_text(f"{before}        {line.splitlines()[1]},\n{end}{after}")
    monkeypatch.chdir(tmp_path)
    app = AppTest.from_file(str(tmp_path / "app.py"), default_timeout=60).run()
    app = app.switch_page(str(path.relative_to(tmp_path))).run()
    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric}["resunet"] == "1,203,937"


def test_the_quick_start_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(REPOSITORY)
    (code,) = blocks("README.md")
    assert len(code.splitlines()) <= 8
    exec(compile(code, "README.md", "exec"), {"__name__": "quick_start"})
    p_tumour, pixels = capsys.readouterr().out.split()
    assert float(p_tumour) > 0.5 and abs(int(pixels) / load_samples()[3].mask.sum() - 1) < 0.3
