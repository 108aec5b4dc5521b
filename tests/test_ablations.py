"""What Tversky loss buys and what the split scheme does: the figures, the sentences and the charts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resunet.charts import ablation_charts as charts
from resunet.charts.chart_files import chart_table, safe_csv
from resunet.data.splits import FOLDS
from resunet.errors import InputError
from resunet.evaluation.ablation_questions import (
    FALSE_POSITIVES,
    REPORTED,
    SMALLEST,
    SPLIT_SCHEME_RUNS,
    confusion_table,
    difference,
    loss_table,
    runs_of_losses,
    split_scheme_finding,
    tversky_finding,
)
from resunet.evaluation.aggregate import summarise_segmentation
from resunet.evaluation.averaging import AGGREGATIONS, averaging_table, batch_tversky
from resunet.evaluation.cross_validation import (
    EVERYBODY,
    REPORTED_MEAN,
    REPORTED_READERS,
    cross_validation_table,
    fold_finding,
    union,
)
from resunet.evaluation.overlap import count_pixels, soft_counts
from resunet.files import write_csv
from resunet.model_folder import SLICES as SLICES_FILE
from resunet.model_folder import ModelFolder
from tests.test_compare import evaluation_of, fake_slices
from tests.test_evaluation import square


def with_soft(slices: pd.DataFrame) -> pd.DataFrame:
    return slices.assign(**{f"soft_{name}": slices[name].astype(float) for name in ("tp", "fp", "fn")})


SLICES = {
    "resunet": fake_slices(0.9),
    "resunet_bce": fake_slices(0.7, seed=1),
    "resunet_bce_seed2": fake_slices(0.7, seed=2),
    "resunet_tversky": fake_slices(0.95, seed=3),
    "resunet_other": fake_slices(0.95, seed=4),
}


def test_runs_are_grouped_by_their_loss():
    assert runs_of_losses(SLICES) == {
        "bce": ["resunet_bce", "resunet_bce_seed2"],
        "tversky": ["resunet_tversky"],
        "tversky_bce": ["resunet"],
    }


def test_the_figures_of_one_run_are_its_summary_and_seeds_are_averaged():
    table = loss_table(SLICES).set_index(["loss", "metric"])
    alone = summarise_segmentation(SLICES["resunet_tversky"])["recall"]["value"]
    assert table.loc[("Tversky 0.3/0.7", "recall"), "value"] == pytest.approx(alone)
    both = [SLICES[name] for name in ("resunet_bce", "resunet_bce_seed2")]
    recall = sum(run["tp"].sum() for run in both) / sum((run["tp"] + run["fn"]).sum() for run in both)
    assert table.loc[("BCE", "recall"), "value"] == pytest.approx(recall) and table.loc[("BCE", "recall"), "runs"] == 2


def test_a_difference_is_paired_and_signed():
    better, worse = SLICES["resunet_tversky"], SLICES["resunet_bce"]
    gain = difference(better, worse, "recall")
    values = [summarise_segmentation(table)["recall"]["value"] for table in (better, worse)]
    assert gain.value == pytest.approx(values[0] - values[1]) and gain.low < gain.value < gain.high
    assert gain.excludes_zero and str(gain).startswith("+")
    nothing = difference(better, better, "recall")
    assert nothing[:3] == (0.0, 0.0, 0.0) and "not shown" in str(nothing)


def test_the_sentences_hold_the_figures_and_wait_for_both_sides():
    assert tversky_finding({"resunet": SLICES["resunet"]}) is None
    sentence = tversky_finding(SLICES)
    both = pd.concat([SLICES["resunet_bce"], SLICES["resunet_bce_seed2"]])
    for name in (SMALLEST, FALSE_POSITIVES):
        assert str(difference(SLICES["resunet_tversky"], both, name)) in sentence
    runs = dict(zip(SPLIT_SCHEME_RUNS, ("resunet", "resunet_other"), strict=True))
    evaluations = {words: evaluation_of(with_soft(SLICES[run]), run) for words, run in runs.items()}
    assert split_scheme_finding(averaging_table(dict(list(evaluations.items())[:1]))) is None
    first, second = (one.summary["metrics"]["volume_dice_mean"]["value"] for one in evaluations.values())
    assert f"from {first:.3f} to {second:.3f}" in split_scheme_finding(averaging_table(evaluations))


def test_the_averaging_table_holds_every_averaging_and_older_evaluations_a_gap():
    slices = with_soft(SLICES["resunet"])
    table = averaging_table({"a": evaluation_of(slices), "b": evaluation_of(SLICES["resunet"])})
    assert len(table) == 2 * len(AGGREGATIONS)
    batch = table[table["aggregation"].str.contains("Tversky")].set_index("scheme")
    assert batch.loc["a", "value"] == pytest.approx(batch_tversky(slices)) and np.isnan(batch.loc["b", "value"])
    assert batch.loc["a", "low"] <= batch.loc["a", "value"] <= batch.loc["a", "high"]
    bars = charts.split_schemes(table).data
    assert [len(bar.x) for bar in bars] == [5, 5]


def test_charts_of_the_losses_hold_every_loss():
    table = loss_table(SLICES)
    assert [bar.name for bar in charts.sensitivity_by_loss(table).data] == [
        "BCE (2 runs)",
        "Tversky 0.3/0.7 (1 run)",
        "Tversky + BCE (1 run)",
    ]
    assert len({tuple(bar.x) for bar in charts.sensitivity_by_loss(table).data}) == 1  # side by side, whatever the runs
    points = charts.price_by_loss(table).data
    assert [point.name for point in points] == ["BCE", "Tversky 0.3/0.7", "Tversky + BCE"]
    exported = chart_table(charts.price_by_loss(table))
    assert list(exported["series"]) == [point.name for point in points]
    assert (exported["x_low"] <= exported["x"]).all() and (exported["y"] <= exported["y_high"]).all()
    assert exported["y"].tolist() == [point.y[0] for point in points]


def test_exported_text_is_never_a_formula():
    text = safe_csv(pd.DataFrame({"=a": ["=1+1", "@x", "-2", "fine"], "n": [-1, 2, 3, 4]}))
    assert text.splitlines() == ['\ufeff"\'=a","n"', '"\'=1+1",-1', '"\'@x",2', '"\'-2",3', '"fine",4']
    # Where semicolons part cells, text that holds one must not end there.
    assert safe_csv(pd.DataFrame({"a": ["x;=1+1"]})).splitlines()[1] == '"x;=1+1"'


def test_soft_counts_are_the_counts_of_a_map_of_zeros_and_ones():
    predicted, truth = square(10, 10, 8), square(12, 12, 8)
    soft, counts = soft_counts(predicted.astype(np.float32), truth), count_pixels(predicted[None], truth[None])
    assert (soft["soft_tp"], soft["soft_fp"], soft["soft_fn"]) == (counts.tp[0], counts.fp[0], counts.fn[0])
    assert soft_counts(np.full((2, 2), 0.25, np.float32), np.eye(2) > 0) == {"soft_tp": 0.5, "soft_fp": 0.5, "soft_fn": 1.5}


def test_the_batch_figure_by_hand():
    # Seventeen tumour slices: a batch of sixteen perfect ones, and one with tp 1, fp 2, fn 1.
    rows = [{"patient": "a", "tumour_pixels": 4, "soft_tp": 4.0, "soft_fp": 0.0, "soft_fn": 0.0}] * 16
    last = {"patient": "b", "tumour_pixels": 2, "soft_tp": 1.0, "soft_fp": 2.0, "soft_fn": 1.0}
    empty = {"patient": "b", "tumour_pixels": 0, "soft_tp": 0.0, "soft_fp": 9.0, "soft_fn": 0.0}
    expected = (1 + 1 / (1 + 0.3 * 2 + 0.7 * 1)) / 2
    assert batch_tversky(pd.DataFrame([*rows, last, empty])) == pytest.approx(expected, abs=1e-6)


def write_folds(root: Path) -> list[ModelFolder]:
    """Five folds of two patients, sites CS and DU; patient k has 10 (k + 1) tumour pixels and Dice 1 - k / 20."""
    folders = []
    for fold in range(FOLDS):
        rows = []
        for place, site in enumerate(("CS", "DU")):
            k = 2 * fold + place
            tp = 10 * (k + 1)
            fp = round(2 * tp * (1 / (1 - k / 20) - 1))  # Dice 2 tp / (2 tp + fp)
            rows.append({"patient": f"TCGA_{site}_{k}", "tumour_pixels": tp, "tp": tp, "fp": fp, "fn": 0, "lesions": f"{tp}+"})
        folder = ModelFolder(root / f"unet_fold{fold}")
        table = pd.DataFrame(rows).assign(slice=1, tn=1000, hd95=1.0, surface_dice=1.0)
        write_csv(folder.evaluation_path("test", SLICES_FILE), table)
        folders.append(folder)
    return folders


def test_folds_are_put_together_and_divided_by_site_and_size(tmp_path: Path):
    slices = union(write_folds(tmp_path))
    assert slices["patient"].is_unique and list(slices["patient"]) == sorted(slices["patient"])
    table = cross_validation_table({"unet": evaluation_of(slices, "unet", "U-Net")}).set_index("group")
    in_order = slices.sort_values("tumour_pixels")
    dice = list(2 * in_order["tp"] / (2 * in_order["tp"] + in_order["fp"]))
    assert table.loc[EVERYBODY, "n"] == 10 and table.loc[EVERYBODY, "mean"] == pytest.approx(np.mean(dice))
    assert table.loc[EVERYBODY, "median"] == pytest.approx(np.median(dice))
    assert table.loc[EVERYBODY, "low"] < np.mean(dice) < table.loc[EVERYBODY, "high"]
    assert table.loc["Site CS", "mean"] == pytest.approx(np.mean(dice[::2])) and table.loc["Site DU", "n"] == 5
    assert table.loc["Tumour volume, smallest quarter", "mean"] == pytest.approx(np.mean(dice[:3]))
    assert table.loc["Tumour volume, largest quarter", "mean"] == pytest.approx(np.mean(dice[-3:]))
    assert list(table["n"]) == [10, 5, 5, 3, 2, 2, 3]
    assert f"U-Net: mean {np.mean(dice):.3f}" in fold_finding(table.reset_index())
    figure = charts.cross_validation(table.reset_index(), {"U-Net": "red"})
    assert len(figure.data[0].x) == 7 and figure.data[0].y[0] == "All patients (n = 10)"


def test_a_patient_tested_twice_and_a_fold_without_figures_are_refused(tmp_path: Path):
    folds = write_folds(tmp_path)
    with pytest.raises(InputError, match="TCGA_CS_0 is in the test split of two folds"):
        union([*folds, folds[0]])
    with pytest.raises(InputError, match="unet_fold9 has no evaluation on its test split; run resunet evaluate unet_fold9"):
        union([*folds, ModelFolder(tmp_path / "unet_fold9")])


def test_what_is_reported_is_what_the_table_of_reported_figures_says():
    reported = pd.read_csv(REPORTED)
    buda = reported[reported["system"] == "U-Net (Buda 2019)"]
    assert buda.loc[buda["metric"] == "volume Dice, mean", "value"].item() == REPORTED_MEAN
    assert f"{REPORTED_READERS}" in buda["note"].iloc[0]


def test_confusions_by_hand_and_the_papers_last():
    slices = pd.DataFrame({"tumour_pixels": [0, 0, 0, 5, 5, 5, 5], "p_tumour": [0.1, 0.6, 0.2, 0.9, 0.5, 0.4, 0.8]})
    ours, papers = confusion_table({"Ours": evaluation_of(slices)}).to_dict("records")
    assert (ours["tn"], ours["fp"], ours["fn"], ours["tp"], ours["n"]) == (2, 1, 1, 3, 7)
    assert (ours["accuracy"], ours["sensitivity"], ours["specificity"]) == pytest.approx((5 / 7, 3 / 4, 2 / 3))
    assert (papers["tn"], papers["fp"], papers["fn"], papers["tp"], papers["n"]) == (350, 2, 6, 220, 578)
