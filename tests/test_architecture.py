"""The rules of the house: who may import what, which files there are, how the parts are called."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

TOP = {"__init__", "__main__", "artifacts", "cli", "commands", "errors", "files", "hub", "losses", "study"}
ROOMS = {"charts", "data", "evaluation", "inference", "models", "reports", "training"}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("lint-imports") or str(REPOSITORY / ".venv/bin/lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "samples")
    for name in ("resunet", "pages"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=ignored)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_keeps_its_contracts(tree: Path):
    done = lint(tree)
    assert done.returncode == 0 and "4 kept, 0 broken" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("pages/demo/overview.py", "import torch", "Only models, losses and training know PyTorch"),
        ("pages/common/viewer.py", "from resunet.models import ResUNet", "Only models, losses and training know PyTorch"),
        ("resunet/inference/stages.py", "import torch", "Only models, losses and training know PyTorch"),
        ("resunet/evaluation/measure.py", "import torchvision", "Only models, losses and training know PyTorch"),
        ("resunet/charts/style.py", "import streamlit", "The package never imports Streamlit or a screen"),
        ("resunet/data/scan.py", "from resunet.inference import pipeline", "Lower rooms know nothing of higher ones"),
        ("resunet/data/scan.py", "from resunet.data import readers", "No circle"),
    ],
)
def test_a_planted_import_breaks_its_contract(file: str, line: str, contract: str, tree: Path):
    (tree / file).write_text(f"{line}\n{(tree / file).read_text().replace('from __future__ import annotations', '')}")
    done = lint(tree)
    assert done.returncode != 0 and f"{contract} BROKEN" in done.stdout


def test_every_module_has_its_room():
    package = REPOSITORY / "resunet"
    assert {path.stem for path in package.glob("*.py")} == TOP
    assert {path.parent.name for path in package.glob("*/__init__.py")} == ROOMS


def test_no_screen_lies_where_streamlit_would_serve_it_by_itself():
    assert not list((REPOSITORY / "pages").glob("*.py"))


@pytest.mark.parametrize("folder", ["resunet", "pages"])
def test_files_stay_short(folder: str):
    long = {
        path.name: lines for path in (REPOSITORY / folder).rglob("*.py") if (lines := len(path.read_text().splitlines())) > 250
    }
    assert not long
