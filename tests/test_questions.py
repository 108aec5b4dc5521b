"""What Tversky loss buys and what the protocol does: the figures, the sentences and the charts."""

import numpy as np
import pandas as pd
import pytest

from resunet.charts import questions as charts
from resunet.charts.export import chart_table, safe_csv
from resunet.evaluation.aggregate import summarise_segmentation
from resunet.evaluation.metrics import count_pixels, soft_counts
from resunet.evaluation.protocols import AGGREGATIONS, batch_tversky, protocol_table
from resunet.evaluation.questions import (
    FALSE_ALARMS,
    PROTOCOL_RUNS,
    SMALLEST,
    difference,
    loss_table,
    protocol_finding,
    runs_of_losses,
    tversky_finding,
)
from tests.test_compare import fake_slices
from tests.test_evaluation import square


def with_soft(slices: pd.DataFrame) -> pd.DataFrame:
    return slices.assign(**{f"soft_{name}": slices[name].astype(float) for name in ("tp", "fp", "fn")})


SLICES = {
    "resunet": fake_slices(0.9),
    "resunet_bce": fake_slices(0.7, seed=1),
    "resunet_bce_seed2": fake_slices(0.7, seed=2),
    "resunet_tversky": fake_slices(0.95, seed=3),
    "resunet_deep": fake_slices(0.95, seed=4),
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
    recall = sum(part["tp"].sum() for part in both) / sum((part["tp"] + part["fn"]).sum() for part in both)
    assert table.loc[("BCE", "recall"), "value"] == pytest.approx(recall) and table.loc[("BCE", "recall"), "runs"] == 2


def test_a_difference_is_paired_and_signed():
    better, worse = SLICES["resunet_tversky"], SLICES["resunet_bce"]
    found = difference(better, worse, "recall")
    values = [summarise_segmentation(table)["recall"]["value"] for table in (better, worse)]
    assert found.value == pytest.approx(values[0] - values[1]) and found.low < found.value < found.high
    assert found.is_real and str(found).startswith("+")
    nothing = difference(better, better, "recall")
    assert nothing[:3] == (0.0, 0.0, 0.0) and "not shown" in str(nothing)


def test_the_sentences_hold_the_figures_and_wait_for_both_sides():
    assert tversky_finding({"resunet": SLICES["resunet"]}) is None
    sentence = tversky_finding(SLICES)
    both = pd.concat([SLICES["resunet_bce"], SLICES["resunet_bce_seed2"]])
    for name in (SMALLEST, FALSE_ALARMS):
        assert str(difference(SLICES["resunet_tversky"], both, name)) in sentence
    evaluations = {
        words: ({"metrics": summarise_segmentation(table)}, table)
        for words, table in zip(PROTOCOL_RUNS, (with_soft(SLICES["resunet"]), with_soft(SLICES["resunet_deep"])), strict=True)
    }
    assert protocol_finding(dict(list(evaluations.items())[:1])) is None
    first, second = (summary["metrics"]["volume_dice_mean"]["value"] for summary, _ in evaluations.values())
    assert f"from {first:.3f} to {second:.3f}" in protocol_finding(evaluations)


def test_the_protocol_table_holds_every_averaging_and_older_evaluations_a_gap():
    slices = with_soft(SLICES["resunet"])
    summary = {"metrics": summarise_segmentation(slices)}
    table = protocol_table({"a": (summary, slices), "b": (summary, SLICES["resunet"])})
    assert len(table) == 2 * len(AGGREGATIONS)
    batch = table[table["aggregation"].str.contains("Tversky")].set_index("protocol")
    assert batch.loc["a", "value"] == pytest.approx(batch_tversky(slices)) and np.isnan(batch.loc["b", "value"])
    assert batch.loc["a", "low"] <= batch.loc["a", "value"] <= batch.loc["a", "high"]
    bars = charts.protocols(table).data
    assert [len(bar.x) for bar in bars] == [5, 5]


def test_charts_of_the_losses_hold_every_loss():
    table = loss_table(SLICES)
    assert [bar.name for bar in charts.sensitivity_by_loss(table).data] == [
        "BCE (2 runs)",
        "Tversky 0.3/0.7 (1 run)",
        "Tversky + BCE (1 run)",
    ]
    points = charts.price_by_loss(table).data
    assert [point.text[0] for point in points] == ["BCE", "Tversky 0.3/0.7", "Tversky + BCE"]
    exported = chart_table(charts.price_by_loss(table))
    assert list(exported["text"]) == [point.text[0] for point in points] and exported["y"].tolist() == [
        point.y[0] for point in points
    ]


def test_exported_text_is_never_a_formula():
    text = safe_csv(pd.DataFrame({"=a": ["=1+1", "@x", "-2", "fine"], "n": [-1, 2, 3, 4]}))
    assert text.splitlines() == ["'=a,n", "'=1+1,-1", "'@x,2", "'-2,3", "fine,4"]


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
