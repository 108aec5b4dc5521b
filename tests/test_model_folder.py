import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from resunet.catalogue import FLAGSHIP, STAGE_1, find_model
from resunet.errors import InputError
from resunet.files import (
    PackedMasks,
    atomic_folder,
    atomic_path,
    file_sha256,
    sole_writer,
    write_csv,
    write_json,
)
from resunet.model_folder import CONFIG_FILE, GRAPH_FILE, HISTORY, WEIGHTS_FILE, ModelFolder
from resunet.models import load_network
from resunet.training.state import save_tensors
from tests.conftest import model_config


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(target, "old") as temporary:
        (temporary / "new").touch()
        raise RuntimeError
    assert names(target) == ["old"]
    with atomic_folder(target, "old") as temporary:
        (temporary / "new").touch()
    assert names(target) == ["new"] and names(tmp_path) == ["model"]


def test_json_has_no_bare_nan(tmp_path: Path):
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [np.float64(1.5), np.int64(2)], "c": float("inf")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1.5, 2], "c": None}


def test_tables_survive(tmp_path: Path):
    table = pd.DataFrame({"name": ["a", "b"], "value": [0.123456789, np.nan]})
    write_csv(tmp_path / "a.csv", table)
    assert pd.read_csv(tmp_path / "a.csv")["value"].tolist()[0] == 0.123457


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path):
    with sole_writer(tmp_path):
        code = (
            f"from pathlib import Path; from resunet.files import sole_writer\nwith sole_writer(Path({str(tmp_path)!r})): pass"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode != 0 and "Another process is writing" in done.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_masks_survive_packing():
    masks = np.random.default_rng(0).random((3, 2, 17, 29)) > 0.5
    packed = PackedMasks.of(PackedMasks.pack(masks).arrays())
    assert packed.shape == masks.shape and len(packed) == 3
    np.testing.assert_array_equal(packed[:], masks)
    np.testing.assert_array_equal(packed[:, [1]], masks[:, [1]])


def model_folder(path: Path) -> ModelFolder:
    folder = ModelFolder(path)
    save_tensors(folder.path / WEIGHTS_FILE, {"weight": torch.ones(3)})
    folder.write_config(model_config(sha256={WEIGHTS_FILE: file_sha256(folder.path / WEIGHTS_FILE)}))
    return folder


def test_weights_are_checked_against_their_checksum(tmp_path: Path):
    folder = model_folder(tmp_path / "model")
    assert folder.check(WEIGHTS_FILE) == folder.path / WEIGHTS_FILE
    content = bytearray((folder.path / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder.path / WEIGHTS_FILE).write_bytes(bytes(content))
    with pytest.raises(InputError, match="is damaged: its SHA-256"):
        folder.check(WEIGHTS_FILE)
    (folder.path / WEIGHTS_FILE).unlink()
    with pytest.raises(InputError, match="has no model.safetensors; fetch the folder again, or train the model"):
        folder.check(WEIGHTS_FILE)
    with pytest.raises(InputError, match="has no model.onnx; run resunet export"):
        folder.check(GRAPH_FILE)


def test_weights_of_another_architecture_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="do not fit ResUNet"):
        load_network(model_folder(tmp_path / "model"))


def test_missing_and_damaged_files_are_told_apart(tmp_path: Path):
    folder = ModelFolder(tmp_path)
    assert folder.history() is None and folder.slices("test") is None and folder.summary("test") is None
    assert folder.evaluations() == []
    with pytest.raises(InputError, match="config.json is missing"):
        folder.config()
    (folder.path / CONFIG_FILE).write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        folder.config()
    (folder.path / HISTORY).write_text('a,b\n1,"2\n3')
    with pytest.raises(InputError, match="cannot be read as a table"):
        folder.history()


def test_a_configuration_survives_the_file(tmp_path: Path):
    folder = ModelFolder(tmp_path)
    for config in (
        model_config(),
        find_model(FLAGSHIP).config(),
        find_model(STAGE_1).config(),
        find_model("cnn_unet").config(),
    ):
        folder.write_config(config)
        again = folder.config()
        assert json.dumps(asdict(again)) == json.dumps(asdict(config))
        assert (again.postprocessing, again.gate, again.fusion, again.calibration, again.data_set) == (
            config.postprocessing,
            config.gate,
            config.fusion,
            config.calibration,
            config.data_set,
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [({"threshold": "high"}, "threshold"), ({"name": None}, "name"), ({"name": "../elsewhere"}, "elsewhere")],
)
def test_a_configuration_of_another_version_is_named(change: dict[str, object], words: str, tmp_path: Path):
    folder = ModelFolder(tmp_path)
    write_json(folder.path / CONFIG_FILE, asdict(model_config()) | change)
    with pytest.raises(InputError, match=f"not a configuration that this version writes .*{words}"):
        folder.config()


def test_a_field_of_a_later_version_is_left_out(tmp_path: Path):
    folder = ModelFolder(tmp_path)
    write_json(folder.path / CONFIG_FILE, asdict(model_config()) | {"surprise": 1})
    assert folder.config() == model_config()


def test_a_configuration_says_which_split_a_patient_was_in():
    config = find_model(FLAGSHIP).config()
    assert config.split_of("TCGA_CS_4941_19960909") == "train" and config.split_of("TCGA_CS_4944_20010208") is None
