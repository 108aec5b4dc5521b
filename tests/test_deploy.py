"""What a deployment relies on: pinned and hashed packages, a Dockerfile whose paths exist, settings that can be read."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from resunet.hub import pins
from tests.conftest import REPOSITORY


def pinned(name: str) -> dict[str, str]:
    lines = (REPOSITORY / name).read_text().splitlines()
    found = (re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def test_every_package_is_pinned_and_its_hashes_are_there():
    wanted, hashed = pinned("requirements.txt"), pinned("requirements-hashed.txt")
    assert len(wanted) == len((REPOSITORY / "requirements.txt").read_text().splitlines())
    assert wanted.items() <= hashed.items(), "run: make lock"
    blocks = re.split(r"\n(?=\w)", (REPOSITORY / "requirements-hashed.txt").read_text())
    assert len(blocks) >= len(hashed) and all("--hash=sha256:" in block for block in blocks)


def test_the_app_installs_without_pytorch():
    wanted, training = pinned("requirements.txt"), pinned("requirements-train.txt")
    assert not {"torch", "torchvision", "onnx", "safetensors"} & pinned("requirements-hashed.txt").keys()
    assert {"torch", "torchvision", "onnx", "safetensors"} <= training.keys() and not training.keys() & wanted.keys()


def test_the_container_copies_what_is_there_and_does_not_run_as_root():
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1] if not word.startswith("--")]
    assert {"app.py", "resunet", "pages", "weights", ".streamlit", "requirements.txt", "pyproject.toml"} == set(copied)
    assert all((REPOSITORY / path).exists() for path in copied)
    assert any(line.startswith("USER app") for line in lines)
    assert any("_stcore/health" in line for line in lines)
    base = re.search(r"FROM python:(\d+)\.(\d+)", "\n".join(lines))
    assert base and (int(base[1]), int(base[2])) >= (3, 11)
    uv = next(line for line in lines if "uv==" in line)
    assert pinned("requirements-dev.txt")["uv"] in uv


def test_small_builds_of_pytorch_are_asked_for():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert settings["tool"]["uv"]["pip"] == {"torch-backend": "cpu"}


def test_the_example_of_secrets_is_what_the_app_reads(monkeypatch: pytest.MonkeyPatch):
    example = (REPOSITORY / ".streamlit" / "secrets.toml.example").read_text()
    secrets = tomllib.loads(re.sub(r"^# (?=\w+ = )", "", example, flags=re.MULTILINE))
    assert set(secrets) == {"RESUNET_HUB", "HF_TOKEN"}
    monkeypatch.setenv("RESUNET_HUB", secrets["RESUNET_HUB"])
    assert set(pins()) == {"resunet_lite", "samples"}


@pytest.mark.slow
def test_the_installed_package_has_all_that_it_needs(tmp_path: Path):
    for name in ("pyproject.toml", "README.md", "requirements.txt", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "resunet", tmp_path / "resunet", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "."]
    subprocess.run([*build, "."], cwd=tmp_path, check=True)
    shutil.rmtree(tmp_path / "resunet")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    assert (tmp_path / "site" / "resunet" / "py.typed").exists()
    code = (
        "from resunet.data.samples import load_samples; from resunet.data.splits import read_split\n"
        "from resunet.evaluation.ablation_questions import REPORTED\n"
        "from resunet.data.membership import find_patient; from resunet.inference.pipeline import TumourPipeline\n"
        f"weights = {str(REPOSITORY / 'weights')!r}\n"
        "sample = load_samples()[0]; find_patient(sample.image)\n"
        "pipeline = TumourPipeline.load(weights + '/resunet_lite', weights + '/resnet50')\n"
        "print(len(read_split()), REPORTED.exists(), pipeline.predict(sample.image).mask.shape)"
    )
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "100 True (256, 256)\n"


@pytest.mark.slow
def test_the_reference_is_made_from_the_docstrings(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "pdoc", "resunet", "--docformat", "google", "--output-directory", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "resunet" / "inference" / "pipeline.html").read_text()
    assert "TumourPipeline" in page and "probability that the slice shows a tumour" in page


def test_the_server_starts_without_warnings():
    done = subprocess.run([sys.executable, "-c", "import app"], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "ScriptRunContext" not in done.stderr
