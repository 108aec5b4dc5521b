import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, wilcoxon

from resunet.evaluation.ablation_questions import REPORTED
from resunet.evaluation.aggregate import summarise_segmentation
from resunet.evaluation.compare import (
    LEVEL,
    holm,
    metric_table,
    paired_table,
    rank_biserial,
    signed_rank_p,
    significance_labels,
    stage_1_against_masks,
    wide,
)
from resunet.evaluation.error_breakdown import error_breakdown
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.overlap import volume_dice

KEYS = ["patient", "slice", "tumour_pixels"]


def fake_slices(quality: float, seed: int = 0, patients: int = 12) -> pd.DataFrame:
    """Three slices a patient, one empty; of each tumour a share of about `quality` is found."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient, number in itertools.product(range(patients), range(1, 4)):
        pixels = 0 if number == 1 else 400 + 50 * patient + 10 * number
        tp = int(pixels * np.clip(quality + rng.normal(0, 0.02), 0, 1))
        fp = int(rng.integers(0, 40))
        rows.append(
            {
                "patient": f"P{patient:02d}",
                "slice": number,
                "tumour_pixels": pixels,
                "tp": tp,
                "fp": fp,
                "fn": pixels - tp,
                "tn": 65536 - pixels - fp,
                "p_tumour": 0.9 if number == 3 else 0.2,
                "hd95": 2.0 if pixels else np.nan,
                "surface_dice": 0.9 if pixels else np.nan,
                "lesions": f"{pixels}+" if pixels else np.nan,
            }
        )
    return pd.DataFrame(rows)


def evaluation_of(slices: pd.DataFrame, model: str = "mine", display_name: str = "Mine") -> Evaluation:
    """A table of slices as an evaluation with threshold 0.5."""
    metrics = summarise_segmentation(slices) if "tp" in slices else {}
    return Evaluation(model, display_name, "test", (model, id(slices)), {"metrics": metrics, "threshold": 0.5}, slices)


def test_a_clear_difference_is_called_one_and_an_equal_model_is_not():
    slices = {"best": fake_slices(0.9), "twin": fake_slices(0.9), "weak": fake_slices(0.7, seed=1)}
    table = paired_table(slices, "best").set_index("model")
    assert list(table.index) == ["twin", "weak"]
    weak, twin = table.loc["weak"], table.loc["twin"]
    expected = volume_dice(slices["weak"]) - volume_dice(slices["best"])
    assert weak["difference"] == pytest.approx(expected.mean())
    assert weak["low"] < weak["difference"] < weak["high"] < 0 and weak["losses"] == 12 == weak["n"]
    assert weak["effect"] == -1 and weak["p"] == pytest.approx(2 / 2**12)  # all twelve lose: the smallest p there is
    assert weak["p_holm"] == pytest.approx(2 * weak["p"])
    assert twin["difference"] == 0 and twin["ties"] == 12 and twin["p_holm"] == 1 and twin["effect"] == 0


@pytest.mark.slow
def test_equal_models_are_called_different_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    tables, models, patients = 300, 10, 16
    wrong = 0
    for _ in range(tables):
        pixels = rng.integers(500, 2000, patients)
        slices = {}
        for number in range(models):
            tp = (pixels * rng.beta(9, 2, patients)).astype(int)
            rows = {"patient": range(patients), "slice": 1, "tumour_pixels": pixels, "tp": tp, "fp": 0, "fn": pixels - tp}
            slices[f"m{number}"] = pd.DataFrame(rows)
        wrong += any(
            verdict != "no significant difference" for verdict in significance_labels(paired_table(slices, "m0")).values()
        )
    assert 0 < wrong <= tables * LEVEL


def test_verdicts_say_better_or_worse_and_families_are_counted_apart():
    slices = {"flagship": fake_slices(0.8), "strong": fake_slices(0.95), "weak": fake_slices(0.7)}
    assert significance_labels(paired_table(slices, "flagship")) == {"strong": "better", "weak": "worse"}
    alone = paired_table(slices, "flagship").set_index("model")["p_holm"]
    crowd = slices | {f"run{number}": fake_slices(0.8, seed=number) for number in range(1, 8)}
    families = {name: "ablations" for name in crowd if name.startswith("run")}
    together = paired_table(crowd, "flagship", families).set_index("model")["p_holm"]
    assert together[["strong", "weak"]].equals(alone) and together["run1"] > 0.05


def test_without_a_tumour_there_is_nothing_to_compare():
    empty = fake_slices(0.9).query("slice == 1")
    (row,) = paired_table({"a": empty, "b": empty}, "a").to_dict("records")
    assert row["n"] == 0 and row["p_holm"] == 1.0 and np.isnan(row["difference"])


def test_rank_biserial_by_hand():
    # ranks of 1, 2, 3, 4: gains 1 + 3 + 4 = 8, losses 2, so (8 - 2) / 10; the zero does not count.
    assert rank_biserial(np.array([0.1, -0.2, 0.3, 0.4, 0.0])) == pytest.approx(0.6)
    assert signed_rank_p(np.zeros(5)) == 1.0


@pytest.mark.filterwarnings("ignore:Exact p-value calculation")
@pytest.mark.parametrize("count", [1, 2, 6, 13, 14, 20, 50, 51, 100])
@pytest.mark.parametrize("digits", [1, 2, 12])  # few digits make zeros and equal ranks
def test_the_signed_rank_test_is_scipys(count: int, digits: int):
    differences = np.random.default_rng(count).normal(0.1, 0.3, count).round(digits)
    expected = wilcoxon(differences).pvalue if differences.any() else 1.0
    assert signed_rank_p(differences) == pytest.approx(expected, rel=1e-9)
    assert signed_rank_p(-differences) == pytest.approx(expected, rel=1e-9)


def test_other_slices_are_refused():
    other = fake_slices(0.9)
    other.loc[0, "slice"] = 99
    with pytest.raises(ValueError, match="other was measured on other slices"):
        paired_table({"best": fake_slices(0.9), "other": other}, "best")


def test_holms_correction_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.9])), [0.09, 0.04, 0.09, 0.9])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])
    assert holm(np.zeros(0)).size == 0


def test_mcnemar_is_the_binomial_test_of_the_disagreements():
    slices = fake_slices(0.9)
    slices["fp"] = np.where(slices["slice"] == 1, 0, slices["fp"])  # masks judge every slice right
    found = stage_1_against_masks(slices, 0.5)
    assert found["accuracy_masks"] == 1 and found["accuracy_stage_1"] == pytest.approx(2 / 3)  # slice 2 is stopped
    assert (found["only_stage_1"], found["only_masks"], found["n"]) == (0, 12, 36)
    assert found["p"] == pytest.approx(binomtest(0, 12).pvalue)
    again = pd.concat((slices, slices.query("slice == 1").assign(fp=5), slices.query("slice == 1").assign(fp=0)))
    assert (mixed := stage_1_against_masks(again, 0.5))["only_stage_1"] == 12 == mixed["only_masks"] and mixed["p"] == 1


def test_the_error_breakdown_adds_up():
    slices = fake_slices(0.8)
    slices.loc[5, ["tp", "fn", "lesions"]] = [0, slices.loc[5, "tumour_pixels"], f"{slices.loc[5, 'tumour_pixels']}-"]
    free, gated = error_breakdown(slices, None), error_breakdown(slices, 0.5)
    for breakdown in (free, gated):
        lost = breakdown["lost_at_gate"] + breakdown["lost_lesions"] + breakdown["lost_at_border"]
        assert breakdown["found"] + lost == breakdown["tumour"] == slices["tumour_pixels"].sum()
    assert free["lost_at_gate"] == 0 and free["lost_lesions"] == slices.loc[5, "tumour_pixels"]
    assert gated["lost_at_gate"] == slices.loc[slices["slice"] == 2, "tumour_pixels"].sum()
    assert gated["false_on_empty_slices"] == 0 < free["false_on_empty_slices"]
    assert free["false_on_empty_slices"] + free["false_on_tumour_slices"] == slices["fp"].sum()


def test_metric_table_holds_what_the_summaries_hold():
    summary = {"metrics": summarise_segmentation(fake_slices(0.9))}
    table = metric_table({"best": summary})
    row = table[table["metric"] == "recall"].iloc[0]
    assert row["value"] == summary["metrics"]["recall"]["value"] and row["unit"] == "pixel"
    assert len(table) == len(summary["metrics"])
    shown = wide(metric_table({"best": summary, "other": {"metrics": {"recall": summary["metrics"]["recall"]}}}))
    assert shown.set_index("metric").loc["recall", "other"] == f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    assert shown.set_index("metric").loc["precision", "other"] == ""


def test_reported_figures_name_their_data_and_source():
    table = pd.read_csv(REPORTED)
    assert table[["system", "data", "metric", "source"]].notna().all().all()
    assert table.loc[table["metric"].isin(["Dice", "IoU", "accuracy"]), "value"].dropna().between(0, 1).all()
    paper = table[table["system"] == "ResUNet + Tversky (the paper)"].set_index("metric")["value"]
    assert paper["Dice"] / (2 - paper["Dice"]) == pytest.approx(0.961, abs=5e-4) and paper["IoU"] == 0.95
