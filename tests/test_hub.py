"""Model folders from the Hub: the real client against a small local server, faults included."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resunet import catalogue, hub
from resunet.catalogue import find_model, find_or_fetch, pull
from resunet.data import lgg
from resunet.data.samples import SAMPLES, load_samples
from resunet.errors import InputError
from resunet.files import file_sha256, write_text
from resunet.hub import Pin, cached, fetch, find_samples, find_slice_set, pins, push, push_samples
from resunet.inference.stages import Stage2
from resunet.model_folder import CARD, GRAPH_FILE, SLICES, WEIGHTS_FILE, ModelFolder
from resunet.models import CNN, ResUNet, build_model, load_network
from resunet.models.export import export_graph
from resunet.training.state import save_tensors
from tests.conftest import model_config
from tests.hub_server import Hub, serving

SOMEWHERE = "0123456789" * 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A small folder as a user would push it."""
    folder = ModelFolder(tmp_path_factory.mktemp("hub") / "mine")
    torch.manual_seed(0)
    save_tensors(folder.path / WEIGHTS_FILE, build_model("resunet").state_dict())
    folder.write_config(model_config(sha256={WEIGHTS_FILE: file_sha256(folder.path / WEIGHTS_FILE)}))
    export_graph(folder)
    write_text(folder.path / CARD, "# mine\n")
    write_text(folder.evaluation_path("test", SLICES), "patient,slice\n")
    write_text(folder.path / "checkpoint.safetensors", "stays at home")
    return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "TIMEOUT", 2.0)
    with serving(Hub()) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture
def pin(server: Hub, model: ModelFolder) -> Pin:
    kept = [path for path in model.path.rglob("*") if path.is_file() and path.name != "checkpoint.safetensors"]
    return Pin("owner/name", server.commit({str(path.relative_to(model.path)): path.read_bytes() for path in kept}))


def test_push_then_pull_gives_the_same_folder(server: Hub, model: ModelFolder, tmp_path: Path):
    pushed = push(model, "owner/name")
    assert "checkpoint.safetensors" not in server.commits[pushed.revision]
    target = pull(f"{pushed.repo}@{pushed.revision}", tmp_path / "pulled")
    names = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert names == {"config.json", WEIGHTS_FILE, GRAPH_FILE, "README.md", "evaluation/test/slices.csv"}
    assert all((target / name).read_bytes() == (model.path / name).read_bytes() for name in names)
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_a_fetched_commit_needs_no_network_afterwards(server: Hub, pin: Pin):
    assert cached(pin) is None
    fetch(pin)
    asked = len(server.asked)
    assert cached(pin) is not None and (fetch(pin).path / WEIGHTS_FILE).exists() and len(server.asked) == asked


def test_a_newer_commit_changes_nothing_for_who_pinned_the_old_one(server: Hub, pin: Pin):
    server.commit({"config.json": b"{}", "model.safetensors": b"other"})
    assert fetch(pin).config().name == "mine"


def test_a_pinned_model_is_found_by_its_name_once_fetched(server: Hub, pin: Pin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESUNET_HUB", f"mine={pin.repo}@{pin.revision}")
    with pytest.raises(InputError, match="resunet pull mine"):
        find_model("mine")
    fetch(pins()["mine"])
    assert find_model("mine").config().name == "mine"


def test_bundled_weights_come_before_the_hub(pin: Pin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESUNET_HUB", f"resnet50={pin.repo}@{pin.revision}")
    assert find_model("resnet50").path == catalogue.WEIGHTS / "resnet50"


def test_from_pretrained_loads_strictly_and_only_its_own_kind(server: Hub, pin: Pin, model: ModelFolder):
    network = ResUNet.from_pretrained(pin.repo, pin.revision)
    assert not network.training
    assert all(torch.equal(value, load_network(model).state_dict()[name]) for name, value in network.state_dict().items())
    with pytest.raises(InputError, match="do not fit CNN"):
        CNN.from_pretrained(pin.repo, pin.revision)


def test_a_fetched_model_runs_from_the_cache(server: Hub, pin: Pin):
    folder = fetch(pin)
    assert folder.path.is_relative_to(os.environ["HF_HUB_CACHE"])
    assert Stage2(folder)(np.zeros((64, 64, 3), np.float32)).mean.shape == (64, 64)


def test_a_name_from_the_hub_is_no_path(server: Hub, pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalogue, "WEIGHTS", tmp_path / "weights")
    for name in ("../../escaped", "/etc", ".", ""):
        config = json.loads(server.commits[pin.revision]["config.json"]) | {"name": name}
        commit = server.commit(server.commits[pin.revision] | {"config.json": json.dumps(config).encode()})
        with pytest.raises(InputError, match="no name for a model"):
            pull(f"{pin.repo}@{commit}")
    assert not any(tmp_path.glob("weights/*"))


def test_a_folder_of_something_else_is_not_replaced(server: Hub, pin: Pin, tmp_path: Path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "important.txt").write_text("keep")
    with pytest.raises(InputError, match="in use for something else"):
        pull(f"{pin.repo}@{pin.revision}", tmp_path / "letters")
    assert (tmp_path / "letters" / "important.txt").read_text() == "keep"
    assert pull(f"{pin.repo}@{pin.revision}", tmp_path / "new") == pull(f"{pin.repo}@{pin.revision}", tmp_path / "new")


def test_a_name_that_no_repository_can_have_gets_a_sentence(server: Hub):
    with pytest.raises(InputError, match="not a name of a Hub repository"):
        pull(f"owner/a..b@{'0' * 40}")


def test_the_bytes_that_come_are_told(server: Hub, pin: Pin, model: ModelFolder):
    told: list[tuple[int, int]] = []
    fetch(pin, lambda done, total: told.append((done, total)))
    whole = sum(len(content) for content in server.commits[pin.revision].values())
    assert max(told) == (whole, whole)
    assert all(0 <= done <= total <= whole for done, total in told)


def test_samples_are_pushed_and_used_where_they_are_pinned(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server.kind = "datasets"
    (tmp_path / "mine" / "images").mkdir(parents=True)
    (tmp_path / "mine" / "masks").mkdir()
    sample = load_samples()[0]
    (tmp_path / "mine" / "images" / "patient_7.png").write_bytes(sample.png)
    (tmp_path / "mine" / "masks" / "patient_7.png").write_bytes((SAMPLES / "masks" / f"{sample.name}.png").read_bytes())
    (tmp_path / "mine" / "index.csv").write_text("name,kind,seed,tumour_pixels\npatient_7,real,,\n")
    assert find_samples() == SAMPLES and not server.asked
    pushed = push_samples(tmp_path / "mine", "owner/name")
    monkeypatch.setenv("RESUNET_HUB", f"samples={pushed.repo}@{pushed.revision}")
    (pinned,) = load_samples(find_samples())
    assert (pinned.name, pinned.simulated, pinned.png) == ("patient_7", False, sample.png)
    assert (pinned.image == sample.image).all() and (pinned.mask == sample.mask).all()
    asked = len(server.asked)
    assert find_samples() and len(server.asked) == asked


def test_real_slices_are_pushed_with_their_licence_and_come_back(
    server: Hub, kaggle: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    server.kind = "datasets"
    done = command("push", "slices", "--data", kaggle, "--split", "test", "--repo", "owner/name", HF_ENDPOINT=server.address)
    assert done.returncode == 0, done.stderr
    pin = done.stdout.rpartition("slices=")[2].strip()
    (files,) = server.commits.values()
    assert b"license: cc-by-nc-sa-4.0" in files["README.md"] and b"2 patients" in files["README.md"]
    assert sum(name.endswith(".tif") for name in files) == 2 * 2 * 3
    assert find_slice_set() is None
    monkeypatch.setenv("RESUNET_HUB", f"slices={pin}")
    folder = find_slice_set()
    uploaded = " ".join(files)
    test = [record for record in lgg.records(lgg.find_root(kaggle)) if record.patient in uploaded]
    fetched = lgg.records(lgg.find_root(folder))
    assert [record.patient for record in fetched] == [record.patient for record in test] and len(fetched) == 6
    assert all((mine.image() == theirs.image()).all() for mine, theirs in zip(fetched, test, strict=True))
    asked = len(server.asked)
    assert find_slice_set() == folder and len(server.asked) == asked  # from the cache


@pytest.mark.parametrize("row", ["../x,real,", "gone,real,", "patient_7"])
def test_samples_that_cannot_be_used_are_not_pushed(server: Hub, tmp_path: Path, row: str):
    (tmp_path / "index.csv").write_text(f"name,kind,seed\n{row}\n")
    with pytest.raises(InputError, match="must have the columns|is missing|does not exist"):
        push_samples(tmp_path, "owner/name")
    assert not server.asked


def test_a_download_that_breaks_off_is_gone_on_with(server: Hub, pin: Pin):
    server.cut = 1
    assert fetch(pin).check(WEIGHTS_FILE).exists()


@pytest.mark.parametrize(
    ("status", "words"), [(401, "not for you"), (404, "not on the Hub"), (429, "wait a minute"), (500, "answered 500")]
)
def test_refusals_are_one_sentence_and_leave_nothing_behind(server: Hub, pin: Pin, tmp_path: Path, status: int, words: str):
    server.status = status
    with pytest.raises(InputError, match=words):
        pull(f"{pin.repo}@{pin.revision}", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists() and cached(pin) is None


def test_an_unknown_commit_is_said_to_be_unknown(server: Hub, pin: Pin):
    with pytest.raises(InputError, match="no such commit"):
        fetch(Pin(pin.repo, SOMEWHERE))


def test_offline_is_said_soon(pin: Pin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="could not be reached"):
        fetch(pin)


def test_a_login_page_is_not_the_hub(server: Hub, pin: Pin, tmp_path: Path):
    server.status = 200
    with pytest.raises(InputError, match="is not the Hub, but perhaps a proxy's login page; check proxy and network"):
        pull(f"{pin.repo}@{pin.revision}", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_a_slow_hub_is_waited_for(server: Hub, pin: Pin):
    server.delay = 0.3
    assert fetch(pin).check(WEIGHTS_FILE).exists()


def test_weights_that_are_not_what_the_config_says_are_not_used(server: Hub, pin: Pin):
    files = server.commits[pin.revision]
    for name in (WEIGHTS_FILE, GRAPH_FILE):
        with pytest.raises(InputError, match=f"{name} is damaged: its SHA-256"):
            fetch(Pin(pin.repo, server.commit(files | {name: files[name][:-1] + b"x"})))


@pytest.mark.parametrize(
    "text", ["owner/name", "owner/name@main", f"owner@{SOMEWHERE}", f"a/b/c@{SOMEWHERE}", "../x@" + SOMEWHERE + "0"]
)
def test_a_pin_names_one_commit(text: str):
    with pytest.raises(InputError, match="40 hexadecimal digits"):
        Pin.parse(text)


def test_the_setting_is_read_or_explained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESUNET_HUB", f"a=o/n@{SOMEWHERE}, b=o/m@{SOMEWHERE}")
    assert pins() == {"a": Pin("o/n", SOMEWHERE), "b": Pin("o/m", SOMEWHERE)}
    monkeypatch.setenv("RESUNET_HUB", f"o/n@{SOMEWHERE}")
    with pytest.raises(InputError, match="model=owner/name@commit"):
        pins()


def test_the_command_line_pulls_and_refuses(server: Hub, pin: Pin, tmp_path: Path, command: Callable):
    done = command("pull", f"{pin.repo}@{pin.revision}", "--to", tmp_path / "pulled")
    assert done.returncode == 0 and (tmp_path / "pulled" / "config.json").exists()
    done = command("pull", "nobody")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "40 hexadecimal digits" in done.stderr


def test_the_app_goes_to_the_hub_only_for_what_is_pinned(server: Hub, pin: Pin, monkeypatch: pytest.MonkeyPatch):
    assert find_or_fetch("resnet50").path == catalogue.WEIGHTS / "resnet50" and not server.asked
    with pytest.raises(InputError, match="no model 'mine'"):
        find_or_fetch("mine")
    monkeypatch.setenv("RESUNET_HUB", f"mine={pin.repo}@{pin.revision}")
    assert find_or_fetch("mine").config().name == "mine" and server.asked
