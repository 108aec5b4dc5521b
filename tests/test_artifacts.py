import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from resunet.artifacts import ModelFolder
from resunet.errors import InputError
from resunet.files import (
    PackedMasks,
    atomic_folder,
    atomic_path,
    file_sha256,
    save_tensors,
    sole_writer,
    write_csv,
    write_json,
)
from resunet.stages import load_model


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
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "new").touch()
        raise RuntimeError
    assert names(target) == ["old"]
    with atomic_folder(target) as temporary:
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
    save_tensors(folder.weights_path, {"weight": torch.ones(3)})
    write_json(folder.config_path, {"architecture": "resunet", "sha256": file_sha256(folder.weights_path)})
    return folder


def test_weights_are_checked_against_their_checksum(tmp_path: Path):
    folder = model_folder(tmp_path / "model")
    assert torch.equal(folder.weights()["weight"], torch.ones(3))
    content = bytearray(folder.weights_path.read_bytes())
    content[-1] ^= 1
    folder.weights_path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="is damaged: its SHA-256"):
        folder.weights()
    folder.weights_path.unlink()
    with pytest.raises(InputError, match="has no weights"):
        folder.weights()


def test_weights_of_another_architecture_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="do not fit resunet"):
        load_model(model_folder(tmp_path / "model"))


def test_missing_and_damaged_files_are_told_apart(tmp_path: Path):
    folder = ModelFolder(tmp_path)
    assert folder.history() is None and folder.slices("test") is None and folder.summary("test") is None
    assert folder.protocols() == []
    with pytest.raises(InputError, match="config.json is missing"):
        folder.config()
    folder.config_path.write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        folder.config()
    folder.history_path.write_text('a,b\n1,"2\n3')
    with pytest.raises(InputError, match="cannot be read as a table"):
        folder.history()
