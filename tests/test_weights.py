"""What is committed under weights/: complete, re-derivable, honest about its splits."""

import pandas as pd
import pytest

from resunet.catalogue import FLAGSHIP, VOLUME_MODEL, WEIGHTS, find_model, list_models, list_runs
from resunet.data.splits import FOLDS, read_split
from resunet.model_folder import CARD, GRAPH_FILE, SNAPSHOTS, WEIGHTS_FILE
from resunet.reports.model_card import model_card
from resunet.reports.tables import document_tables, with_tables
from tests.conftest import assert_rederived


@pytest.mark.parametrize("name", list_runs())
def test_every_bundled_summary_follows_from_its_slices(name: str):
    folder = find_model(name)
    assert {"test", "val"} <= set(folder.evaluations())
    for evaluation in folder.evaluations():
        assert_rederived(folder, evaluation)
        assert folder.summary(evaluation)["model"] == name


@pytest.mark.parametrize("name", list_runs())
def test_every_bundled_run_is_complete_and_honest(name: str):
    folder = find_model(name)
    config, history = folder.config(), folder.history()
    has_threshold = config.task == "segmentation" or not config.classes  # the likeliest kind needs none
    assert config.threshold_split == ("val" if has_threshold else None)
    assert (folder.path / CARD).exists() and config.name == name
    if config.split_scheme != "slice":
        assert not set(config.patients["train"]) & set(config.patients["val"])
        assert not set(folder.slices("test")["patient"]) & {*config.patients["train"], *config.patients["val"]}
    if config.fusion:
        assert not (folder.path / WEIGHTS_FILE).exists() and set(config.fusion.members) <= set(list_models())
        return
    if history is None:
        assert config.trained_on  # elsewhere, where no history was kept
    else:
        assert config.best_epoch in set(history["epoch"])
    is_seen = config.task == "segmentation" and not config.context and config.channels == 3
    outlines_samples = is_seen and history is not None
    assert (folder.path / SNAPSHOTS).exists() == outlines_samples
    if config.keeps_weights:
        assert folder.path.parent.name == "weights" and folder.check(WEIGHTS_FILE) and folder.check(GRAPH_FILE)
    else:
        assert folder.path.parent.name == "studies" and not list(folder.path.glob("model.*"))
        assert "weights are not kept" in (folder.path / CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [FLAGSHIP, VOLUME_MODEL])
def test_the_union_of_the_folds_holds_each_patient_once(name: str):
    slices, folds = find_model(name).slices("cross_validated"), read_split().set_index("patient")["fold"]
    assert not slices.duplicated(["patient", "slice"]).any()
    assert set(slices["patient"]) == set(folds.index) and slices["patient"].nunique() == 100
    for fold in range(FOLDS):
        folder = find_model(f"{name}_fold{fold}")
        tested = folder.slices("test").sort_values(["patient", "slice"], ignore_index=True)
        assert set(tested["patient"]) == set(folds.index[folds == fold])
        pd.testing.assert_frame_equal(slices[slices["patient"].isin(tested["patient"])].reset_index(drop=True), tested)


def test_all_weights_fit_into_the_repository():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*")) < 110e6


def test_display_names_are_told_apart():
    names = [find_model(name).config().display_name for name in list_runs()]
    assert len(set(names)) == len(names) and not any("_" in name for name in names)


def test_cards_and_documents_are_what_the_files_say():
    for name in list_runs():
        folder = find_model(name)
        assert (folder.path / CARD).read_text(encoding="utf-8") == model_card(folder), "run: resunet cards"
    for path, tables in document_tables().items():
        text = path.read_text(encoding="utf-8")
        assert text == with_tables(text, tables), "run: resunet cards"


def test_all_rows_of_a_comparison_come_from_the_same_data_and_split():
    splits: dict[tuple[str, str], set[str]] = {}
    trained_on: dict[tuple[str, str, bool], set[str]] = {}
    for config in (find_model(name).config() for name in list_runs()):
        scheme = config.data_set.name, config.split_scheme
        people = bool((config.recipe or {}).get("without_tumour_share"))
        splits.setdefault(scheme, set()).add(config.split_hash)
        trained_on.setdefault((*scheme, people), set()).add(config.data_fingerprint)
    assert all(len(found) == 1 for found in (*splits.values(), *trained_on.values()))
