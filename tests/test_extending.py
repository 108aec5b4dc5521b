"""docs/extending.md done as it stands there, in a copy of the tree; and the README's quick start."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resunet.charts.style import MODEL_COLOURS
from resunet.data.samples import load_samples
from resunet.model_folder import CARD, ModelFolder
from tests.conftest import REPOSITORY

COPIED = ("app.py", "pages", "resunet", "tests", "pyproject.toml", "weights/resunet_lite", "weights/resnet50")
SHORT = """
from dataclasses import replace
from pathlib import Path
from resunet.training.loop import train
from resunet.training.recipes import Phase, find_recipe
changes = {"phases": (Phase(1, 64, crop=False),), "samples_per_epoch": 8, "batch_size": 4}
train(replace(find_recipe("shallow"), **changes), "my_organ", Path("runs/shallow"))
"""
COLOUR = "from resunet.charts.style import model_colour; print(model_colour('shallow'))"
SCREEN = """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).run()
app = app.switch_page("pages/evaluation/parameters.py").run()
print({metric.label: metric.value for metric in app.metric} if not app.exception else app.exception)
"""


def blocks(document: str, language: str = "python") -> list[str]:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def insert(block: str, root: Path) -> None:
    """Do what a block's first line says: '# file', '# file, in NAME' or '# file, above NAME'."""
    head, _, code = block.partition("\n")
    name, _, place = head.removeprefix("# ").partition(", ")
    path = root / name
    if not place:
        path.write_text(code)
        return
    where, name = place.split()
    text = path.read_text()
    start = re.search(rf"^( *){name}\b[^=\n]*= .*[\[({{]\n", text, flags=re.MULTILINE)
    assert start is not None, f"{path} has no {name}"
    at = start.end() if where == "in" else start.start()
    path.write_text(text[:at] + code + ("\n\n" if where == "above" else "") + text[at:])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which everything is added that the document adds, and another organ's data."""
    root = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    for block in blocks("docs/extending.md"):
        insert(block, root)
    registry = root / "resunet" / "models" / "__init__.py"
    registry.write_text(
        registry.read_text().replace("\nSEGMENTATION", "from resunet.models.shallow import Shallow\n\nSEGMENTATION", 1)
    )
    organ = root / "my_organ"
    for kind in ("images", "masks"):
        (organ / kind).mkdir(parents=True)
    for number, sample in enumerate([sample for sample in load_samples() if sample.mask.any()][:6]):
        Image.fromarray(sample.image[::4, ::4]).save(organ / "images" / f"p{number // 2}_{number}.png")
        Image.fromarray(sample.mask[::4, ::4].astype(np.uint8) * 255).save(organ / "masks" / f"p{number // 2}_{number}.png")
    pd.DataFrame({"patient": ["p0", "p1", "p2"], "split": ["train", "val", "test"]}).to_csv(organ / "split.csv", index=False)
    (organ / "data_set.json").write_text(blocks("docs/extending.md", "json")[0])
    return root


def run(tree: Path, *arguments: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    return done.stdout.strip()


@pytest.mark.slow
def test_a_model_keeps_the_contract_and_has_a_colour_of_its_own(tree: Path):
    summary = run(
        tree, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_models.py", "tests/test_export.py", "-k", "shallow"
    )
    assert "failed" not in summary and summary.count(".") >= 8
    assert run(tree, "-c", COLOUR) not in MODEL_COLOURS.values()


@pytest.mark.slow
def test_a_loss_and_a_data_set_are_trained_on_and_the_card_speaks_of_them(tree: Path):
    run(tree, "-c", SHORT)
    run(tree, "-m", "resunet", "promote", "runs/shallow")
    for command in ("tune", "evaluate"):
        run(tree, "-m", "resunet", command, "shallow", "--data", "my_organ")
    folder = ModelFolder(tree / "weights" / "shallow")
    config, card = folder.config(), (folder.path / CARD).read_text()
    assert (config.architecture, config.recipe["loss"], config.display_name) == ("shallow", "recall_first", "Shallow")
    assert config.gate is None and folder.summary("test")["gate"] is None  # the gate is the brain's
    for words in (
        "liver",
        "CT",
        "the liver's lesions",
        "arterial, portal, late",
        "cc-by-4.0",
        "Adults only.",
        "Livers of somewhere",
    ):
        assert words in card, words
    assert not re.search(r"brain|FLAIR|glioma|LGG|Buda|TCGA|NC-SA", card.replace("Improving Brain Tumor Segmentation", ""))


def test_a_screen_is_added(tree: Path):
    shown = json.loads(run(tree, "-c", SCREEN).splitlines()[-1].replace("'", '"'))
    assert shown["ResUNet-Lite"] == "3,462,500"


def test_the_quick_start_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(REPOSITORY)
    (code,) = blocks("README.md")
    assert len(code.splitlines()) <= 8
    exec(compile(code, "README.md", "exec"), {"__name__": "quick_start"})
    p_tumour, pixels = capsys.readouterr().out.split()
    truth = next(sample for sample in load_samples() if sample.name == "large_1").mask.sum()
    assert float(p_tumour) > 0.5 and abs(int(pixels) / truth - 1) < 0.3
