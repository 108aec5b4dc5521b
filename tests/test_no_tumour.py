"""People without a tumour: read, dealt by person, trained on as slices without a tumour, and counted as false alarms."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import torch

from resunet.cli.measuring import evaluate
from resunet.data import no_tumour
from resunet.data.samples import load_samples
from resunet.data.slices import SliceCache, neighbours
from resunet.data.sources import find_slices, open_splits
from resunet.errors import InputError
from resunet.evaluation.aggregate import summarise_segmentation
from resunet.evaluation.tuning import false_alarm_cost, found_share
from resunet.training.recipes import find_recipe
from resunet.training.sampling import Draw, TrainingSlices


def write_people(root: Path) -> Path:
    """Every person of the committed table, two examinations of two slices each, numbered in fives."""
    empty = [sample for sample in load_samples() if not sample.mask.any()]
    rows = []
    for person in pd.read_csv(no_tumour.TABLE_FILE)["person"]:
        for volume in (f"{person}_s1", f"{person}_s2"):
            for place in range(2):
                rows.append((person, volume, 5 * place + 10))
                path = root / "slices" / volume / f"{5 * place + 10:03d}.jxl"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(imagecodecs.jpegxl_encode(np.ascontiguousarray(empty[place].image[..., 1]), level=99))
    pd.DataFrame(rows, columns=["subject", "volume", "slice"]).to_csv(root / "slices.csv", index=False)
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("people"))


def test_the_table_puts_both_sources_on_either_side():
    table = pd.read_csv(no_tumour.TABLE_FILE)
    assert table["person"].is_unique
    assert table["split"].value_counts().to_dict() == {"train": 5, "test": 3, "val": 2}
    assert (table.groupby("split")["source"].nunique() == 2).all()
    assert sorted(table["fold"].value_counts()) == [2] * 5


@pytest.mark.parametrize("scheme", ["patient", "fold0", "fold3"])
def test_a_person_is_on_one_side_with_all_examinations(people: Path, scheme: str):
    parts = no_tumour.split(scheme, people)
    sides = {name: {record.patient for record in part} for name, part in parts.items()}
    assert sum(map(len, sides.values())) == 10 == len(set().union(*sides.values()))
    assert sum(map(len, parts.values())) == 40


def test_examinations_are_sequences_of_their_own(people: Path):
    runs = neighbours(no_tumour.records(people))
    assert len(runs) == 20 and all(len(run) == 2 for run in runs)
    assert [record.number for record in runs[0]] == [0, 1]


def test_they_join_the_training_of_lgg_where_a_recipe_asks(people: Path, kaggle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_TUMOUR_DATA", raising=False)
    with pytest.raises(InputError, match="Set NO_TUMOUR_DATA"):
        open_splits(kaggle, without_tumour=True)
    monkeypatch.setenv("NO_TUMOUR_DATA", str(people))
    alone, joined = open_splits(kaggle), open_splits(kaggle, without_tumour=True)
    assert joined.test == alone.test and joined.split_hash == alone.split_hash
    assert len(joined.seen("train")) - len(alone.seen("train")) == 20
    assert find_recipe("resunet_lite").without_tumour_share > 0
    monkeypatch.setenv("NO_TUMOUR_DATA", str(kaggle))
    with pytest.raises(InputError, match="holds no slices.csv with the columns subject, volume, slice"):
        open_splits(kaggle, without_tumour=True)


def test_a_pasted_lesion_repeats_its_flair_where_a_slice_repeats_it(people: Path, kaggle: Path):
    records = [*open_splits(kaggle).train, *no_tumour.split(data=people)["train"]]
    cache = SliceCache(records, 256)
    assert cache.without_tumour.sum() == 20 and not cache.has_tumour[cache.without_tumour].any()
    recipe = find_recipe("resunet_lite", samples_per_epoch=16)
    slices = TrainingSlices(cache, recipe, torch.device("cpu"))
    positions = np.flatnonzero(cache.without_tumour)
    labels = []
    for epoch in range(8):
        batch = slices.batch([Draw(int(position), epoch, slot) for slot, position in enumerate(positions)])
        labels += batch.labels[:, 0].tolist()
    assert 0 < sum(labels) < 0.3 * len(labels)  # some receive a lesion, and then show a tumour
    images = slices._pixels([int(positions[0])])
    assert (images[:, 0] == images[:, 1]).all() and (images[:, 2] == images[:, 1]).all()


def test_false_alarms_are_counted_by_slice_and_by_examination(people: Path):
    records, description = find_slices(people, "test", "patient")
    assert len(records) == 12 and description is no_tumour.DESCRIPTION
    table = pd.DataFrame(
        {
            "patient": ["a", "a", "a", "b"],
            "volume": ["a1", "a1", "a2", "b1"],
            "slice": [0, 1, 0, 0],
            "tumour_pixels": 0,
            "tp": 0,
            "fp": [3, 0, 0, 5],
            "fn": 0,
            "tn": 10,
            "hd95": np.nan,
            "surface_dice": np.nan,
            "lesions": np.nan,
        }
    )
    figures = summarise_segmentation(table)
    assert figures["empty_slice_fp_rate"]["value"] == 0.5
    assert figures["volume_found_rate"]["value"] == pytest.approx(2 / 3) and figures["volume_found_rate"]["n"] == 3


def test_their_false_alarms_weigh_in_what_validation_chooses():
    healthy = np.array([True, True, False, True])
    counts = np.array([[0, 4, 0], [0, 0, 0], [5, 9, 1], [0, 1, 0]])
    assert found_share(healthy, counts) == pytest.approx(2 / 3)
    assert false_alarm_cost(healthy, counts) == pytest.approx(0.0667, abs=1e-4)
    assert false_alarm_cost(np.zeros(4, bool), counts) == 0


@pytest.mark.slow
def test_a_bundled_model_is_measured_on_them(people: Path, tmp_path: Path):
    summary, _ = evaluate("resunet_lite", people, "test", tmp_path / "out")
    assert summary["protocol"] == "no_tumour" and summary["n_patients"] == 3 and summary["n_slices"] == 12
    assert {"volume_found_rate", "gated_volume_found_rate"} <= summary["metrics"].keys()
