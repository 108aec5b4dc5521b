import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import surface_distance
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error, binary_f1_score, binary_jaccard_index

from resunet.catalogue import FLAGSHIP, find_model
from resunet.data.samples import load_samples
from resunet.data.sources import all_slices
from resunet.errors import InputError
from resunet.evaluation.aggregate import (
    Resampling,
    calibration_error,
    gate_slices,
    ranking_scores,
    rates_at,
    summarise_classification,
    summarise_segmentation,
)
from resunet.evaluation.definitions import DEFINITIONS
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.lesion_hits import LesionHit, lesion_hits, lesion_table, write_lesions
from resunet.evaluation.measure import Measurements, Settings, measure_segmentation, write_evaluation
from resunet.evaluation.overlap import count_pixels, dice, iou, volume_dice
from resunet.evaluation.surface import surface_scores
from resunet.evaluation.sweep import table_at
from resunet.evaluation.tuning import best_choice, mean_volume_dice
from resunet.evaluation.volume_scores import score_volume
from resunet.inference.postprocessing import to_mask
from resunet.inference.stages import Stage2
from resunet.model_folder import MASKS, CleanUp, ModelFolder
from tests.conftest import model_config


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    masks = [sample.mask for sample in load_samples() if sample.mask.any()]
    return [(np.roll(mask, (index % 5, -index % 3), axis=(0, 1)), mask) for index, mask in enumerate(masks)]


def test_counts_by_hand():
    counts = count_pixels(np.stack([square(0, 0, 4)]), np.stack([square(2, 2, 4)]))
    assert [int(count[0]) for count in counts] == [4, 12, 12, 64 * 64 - 28]
    assert dice(*counts[:3])[0] == pytest.approx(8 / 32)
    assert iou(*counts[:3])[0] == pytest.approx(4 / 28)


def test_two_empty_masks_follow_the_named_rule():
    zero = np.zeros(1, np.int64)
    assert np.isnan(dice(zero, zero, zero)[0]) and dice(zero, zero, zero, empty=1.0)[0] == 1.0
    assert dice(zero, zero + 5, zero)[0] == 0.0


def test_overlap_equals_torchmetrics():
    for predicted, truth in pairs():
        counts = count_pixels(predicted[None], truth[None])
        tensors = torch.from_numpy(predicted).int(), torch.from_numpy(truth).int()
        assert dice(*counts[:3])[0] == pytest.approx(binary_f1_score(*tensors).item(), abs=1e-6)
        assert iou(*counts[:3])[0] == pytest.approx(binary_jaccard_index(*tensors).item(), abs=1e-6)


def test_distances_in_space_equal_monai():
    rng, sides = np.random.default_rng(3), (4.0, 0.8, 1.1)
    for _ in range(4):
        blobs = [ndimage.gaussian_filter(rng.random((9, 24, 20)), 2) for _ in range(2)]
        predicted, truth = (blob > np.quantile(blob, 0.8) for blob in blobs)
        tensors = [torch.from_numpy(mask[None, None]).float() for mask in (predicted, truth)]
        expected = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=sides).item()
        assert surface_scores(predicted, truth, sides=sides).hd95 == pytest.approx(expected, rel=1e-4)


def test_surface_scores_equal_monai():
    for predicted, truth in pairs():
        ours = surface_scores(predicted, truth)
        tensors = [torch.from_numpy(mask[None, None]).float() for mask in (predicted, truth)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hd95 = compute_hausdorff_distance(*tensors, include_background=True, percentile=95).item()
            surface = compute_surface_dice(*tensors, class_thresholds=[2.0], include_background=True).item()
        assert ours.hd95 == pytest.approx(hd95, abs=1e-5)
        assert ours.surface_dice == pytest.approx(surface, abs=1e-5)


def random_masks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of masks in space: overlapping ones, a tumour missed, one made up, and none in either."""
    rng = np.random.default_rng(7)
    for _ in range(12):
        blobs = [ndimage.gaussian_filter(rng.random((8, 30, 26)), 2) for _ in range(2)]
        yield tuple(blob > np.quantile(blob, rng.uniform(0.7, 0.98)) for blob in blobs)
    some, none = square(10, 10, 8)[None].repeat(4, 0), np.zeros((4, 64, 64), bool)
    yield from ((none, some), (some, none), (none, none))


def test_scores_of_volumes_are_those_of_the_libraries_misses_and_empties_included():
    sides = (4.0, 0.8, 1.1)
    prediction = SimpleNamespace(volume=SimpleNamespace(axial_sides=sides))
    for mask, truth in random_masks():
        ours = score_volume(prediction, mask, truth)
        tensors = [torch.from_numpy(each[None, None]).float() for each in (mask, truth)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            overlap = compute_dice(*tensors, include_background=True, ignore_empty=False).item()
            surface = compute_surface_dice(*tensors, class_thresholds=[2.0], include_background=True, spacing=sides).item()
            distances = surface_distance.compute_surface_distances(truth, mask, sides)
            their_surface = surface_distance.compute_surface_dice_at_tolerance(distances, 2.0)
        if not (mask.any() or truth.any()):
            assert np.isnan(ours.dice) and np.isnan(ours.surface_dice_2mm) and np.isnan(their_surface)
            continue
        assert ours.dice == pytest.approx(overlap, abs=1e-6)
        assert ours.surface_dice_2mm == pytest.approx(surface, abs=1e-6)
        assert ours.surface_dice_2mm == pytest.approx(
            their_surface, abs=0.2 * bool(mask.any() and truth.any())
        )  # theirs weighs by area
        assert np.isnan(ours.hd95_mm) == (not mask.any() or not truth.any())


def test_surface_scores_by_hand():
    assert surface_scores(square(10, 10, 8), square(10, 10, 8)) == (0.0, 1.0)
    shifted = surface_scores(square(10, 10, 8), square(10, 15, 8))
    assert shifted.hd95 == 5.0
    assert np.isnan(surface_scores(square(0, 0, 3), np.zeros((64, 64), bool)).hd95)


def test_lesions_are_found_by_any_pixel_and_survive_the_table():
    truth = square(0, 0, 5) | square(20, 20, 3) | square(40, 40, 2)
    hits = lesion_hits(square(4, 4, 10) | square(41, 41, 1), truth)
    assert hits == [LesionHit(25, True), LesionHit(9, False), LesionHit(4, True)]
    assert write_lesions(hits) == "25+ 9- 4+"
    cells = ["25+ 9- 4+", float("nan"), "12-"]
    table = lesion_table(cells)
    assert [column.tolist() for column in table] == [[0, 0, 0, 2], [25, 9, 4, 12], [True, False, True, False]]
    assert table.texts(3) == ["25+ 9- 4+", "", "12-"] and not len(lesion_table([float("nan")]).row)


# Two patients; a: one tumour slice with tp 6, fp 2, fn 2 and one empty slice with 4 false positives;
# b: one tumour slice missed whole (fn 10) and one empty slice left empty.
TABLE = pd.DataFrame(
    {
        "patient": ["a", "a", "b", "b"],
        "slice": [1, 2, 1, 2],
        "tumour_pixels": [8, 0, 10, 0],
        "tp": [6, 0, 0, 0],
        "fp": [2, 4, 0, 0],
        "fn": [2, 0, 10, 0],
        "tn": [90, 96, 90, 100],
        "p_tumour": [0.9, 0.6, 0.3, 0.2],
        "hd95": [1.5, np.nan, np.nan, np.nan],
        "surface_dice": [0.8, np.nan, np.nan, np.nan],
        "lesions": ["8+", None, "10-", None],
    }
)


def test_every_aggregation_by_hand():
    figures = {name: figure["value"] for name, figure in summarise_segmentation(TABLE).items()}
    assert figures["volume_dice_mean"] == pytest.approx((12 / 20 + 0) / 2)
    assert figures["volume_dice_median"] == pytest.approx(0.3)
    assert figures["tumour_slice_dice"] == pytest.approx((12 / 16 + 0) / 2)
    assert figures["tumour_slice_iou"] == pytest.approx((6 / 10 + 0) / 2)
    assert figures["pooled_dice"] == pytest.approx(12 / (12 + 6 + 12))
    assert figures["pooled_iou"] == pytest.approx(6 / 24)
    assert figures["all_slice_dice"] == pytest.approx((12 / 16 + 0 + 0 + 1) / 4)
    assert figures["precision"] == pytest.approx(6 / 12)
    assert figures["recall"] == pytest.approx(6 / 18)
    assert figures["empty_slice_fp_rate"] == pytest.approx(1 / 2)
    assert figures["hd95_px"] == 1.5 and figures["surface_dice_2px"] == 0.8
    assert figures["lesion_sensitivity_q1"] == 1.0 and figures["lesion_sensitivity_q4"] == 0.0


def test_a_patient_without_tumour_has_no_volume_dice():
    healthy = TABLE[TABLE["tumour_pixels"] == 0].assign(patient=["c", "d"])  # of whom one has a false alarm
    with_them = pd.concat([TABLE, healthy])
    assert volume_dice(with_them)[["c", "d"]].isna().all()
    for name in ("volume_dice_mean", "volume_dice_median"):
        before, after = (summarise_segmentation(table)[name] for table in (TABLE, with_them))
        assert (after["value"], after["n"]) == (before["value"], 2)


def test_n_and_unit_say_what_was_counted():
    figures = summarise_segmentation(TABLE)
    assert (figures["volume_dice_mean"]["n"], figures["volume_dice_mean"]["unit"]) == (2, "patient")
    assert (figures["tumour_slice_dice"]["n"], figures["tumour_slice_dice"]["unit"]) == (2, "slice")
    assert (figures["pooled_dice"]["n"], figures["pooled_dice"]["unit"]) == (400, "pixel")
    assert figures["hd95_px"]["n"] == 1
    assert set(figures) <= set(DEFINITIONS)


def test_the_gate_empties_what_it_stops():
    gated = gate_slices(TABLE, 0.5)
    assert gated["fn"].tolist() == [2, 0, 10, 0] and gated["fp"].tolist() == [2, 4, 0, 0]
    stricter = gate_slices(TABLE, 0.95)
    assert stricter["tp"].sum() == stricter["fp"].sum() == 0
    assert stricter["fn"].tolist() == TABLE["tumour_pixels"].tolist()
    assert stricter["tn"].tolist() == [92, 100, 90, 100]
    assert stricter.loc[0, "lesions"] == "8-" and np.isnan(stricter.loc[0, "hd95"])
    assert TABLE["tp"].sum() == 6  # the table itself is untouched


def test_predicting_nothing_scores_the_share_of_empty_slices():
    nothing = gate_slices(TABLE, 1.1)
    assert summarise_segmentation(nothing)["all_slice_dice"]["value"] == 0.5


def test_intervals_resample_patients():
    rng = np.random.default_rng(0)
    sizes = rng.integers(50, 500, 40)
    hits = (sizes * rng.uniform(0.5, 1.0, 40)).astype(int)
    table = pd.DataFrame({"patient": np.arange(40), "tumour_pixels": sizes, "tp": hits, "fp": 0, "fn": sizes - hits})
    table = table.assign(tn=1000, hd95=1.0, surface_dice=1.0, lesions=[f"{size}+" for size in sizes])
    figure = summarise_segmentation(table)["volume_dice_mean"]
    values = 2 * hits / (hits + sizes)
    error = values.std(ddof=1) / np.sqrt(40)
    assert figure["value"] == pytest.approx(values.mean())
    assert figure["high"] - figure["low"] == pytest.approx(2 * 1.96 * error, rel=0.12)
    # The same slices under half as many patients give a wider interval: patients are what is drawn.
    alone, paired = (summarise_segmentation(table.assign(patient=np.arange(40) // n))["tumour_slice_dice"] for n in (1, 20))
    assert paired["value"] == pytest.approx(alone["value"]) and paired["n"] == alone["n"] == 40
    assert paired["high"] - paired["low"] != alone["high"] - alone["low"]


def test_median_interval_equals_resampling_by_hand():
    values = np.array([0.2, 0.5, 0.6, 0.9, 0.95])
    resampling = Resampling.of_patients(5, resamples=200)
    table = pd.DataFrame({"patient": range(5), "tumour_pixels": 100, "tp": 0, "fp": 0, "fn": 0, "tn": 0})
    table["tp"] = (values * 1000).astype(int)
    table["fp"] = table["fn"] = 1000 - table["tp"]
    table = table.assign(hd95=1.0, surface_dice=1.0, lesions="5+")
    by_hand = [np.median(np.repeat(values, weights.astype(int))) for weights in resampling.weights]
    low, high = np.percentile(by_hand, (2.5, 97.5))
    figure = summarise_segmentation(table, resampling)["volume_dice_median"]
    assert (figure["value"], figure["low"], figure["high"]) == pytest.approx((0.6, low, high))


def test_a_patient_without_tumour_and_prediction_has_no_place_in_the_median():
    table = pd.DataFrame({"patient": range(3), "tumour_pixels": [9, 9, 0], "tp": [9, 5, 0], "fp": 0, "fn": [0, 4, 0], "tn": 1})
    table = table.assign(hd95=np.nan, surface_dice=np.nan, lesions=["9+", "9+", ""])
    figure = summarise_segmentation(table)["volume_dice_median"]
    assert figure["n"] == 2 and figure["value"] == pytest.approx((1 + 10 / 14) / 2) and figure["high"] == 1
    nobody = summarise_segmentation(table[2:])["volume_dice_median"]
    assert nobody["n"] == 0 and np.isnan(nobody["value"])


def test_stage_1_by_hand():
    figures = {name: figure["value"] for name, figure in summarise_classification(TABLE, 0.5).items()}
    assert figures["accuracy"] == 0.5 and figures["sensitivity"] == 0.5 and figures["specificity"] == 0.5
    assert figures["precision"] == 0.5 and figures["f1"] == 0.5
    assert figures["auroc"] == roc_auc_score([1, 0, 1, 0], TABLE["p_tumour"]) == 0.75


def test_calibration_error_equals_torchmetrics_on_the_positive_class():
    rng = np.random.default_rng(1)
    probability = rng.random(4000)
    truth = rng.random(4000) < probability**1.5
    positive = probability > 0.5  # torchmetrics bins the winning class; above one half that is the positive one
    ours = calibration_error(truth[positive], probability[positive], np.ones((1, positive.sum())))[0]
    theirs = binary_calibration_error(
        torch.from_numpy(probability[positive]), torch.from_numpy(truth[positive]).int(), n_bins=10, norm="l1"
    )
    assert ours == pytest.approx(theirs.item(), abs=1e-6)
    assert calibration_error(np.array([True, False]), np.array([1.0, 0.0]), np.ones((1, 2))) == 0.0


def test_ranking_scores_equal_scikit_learn_under_every_weight():
    rng = np.random.default_rng(4)
    truth, probability = rng.random(300) < 0.4, np.round(rng.random(300), 2)  # many ties
    weights = rng.integers(0, 4, (600, 300)).astype(float)
    auroc, precision = ranking_scores(truth, probability, weights)
    for row in range(0, 600, 60):
        known = weights[row] > 0
        expected = (
            score(truth[known], probability[known], sample_weight=weights[row][known])
            for score in (roc_auc_score, average_precision_score)
        )
        assert (auroc[row], precision[row]) == pytest.approx(tuple(expected), abs=1e-12)
    nothing = ranking_scores(truth, probability, np.where(truth, 1.0, 0.0)[None])
    assert np.isnan(nothing).all()


def test_clean_up_keeps_what_it_should():
    probability = np.where(square(0, 0, 6) | square(20, 20, 3), 0.8, 0.1).astype(np.float32)
    assert to_mask(probability, 0.5, CleanUp()).sum() == 45
    assert to_mask(probability, 0.5, CleanUp(min_area=10)).sum() == 36
    assert to_mask(probability, 0.5, CleanUp(min_area=9)).sum() == 45
    assert to_mask(probability, 0.5, CleanUp(largest_only=True)).sum() == 36
    assert to_mask(probability, 0.5, CleanUp(min_area=40)).sum() == 0
    assert to_mask(probability, 0.8, CleanUp()).sum() == 45  # a pixel at the threshold belongs to the mask


def test_tuning_prefers_the_simplest_of_equals():
    figures = {(0.5, CleanUp()): 0.9, (0.6, CleanUp()): 0.90005, (0.5, CleanUp(40)): 0.90009, (0.3, CleanUp()): 0.85}
    assert best_choice(figures) == (0.5, CleanUp())
    counts = np.array([[5, 0, 5], [5, 0, 0], [0, 1, 1]])
    assert mean_volume_dice(np.array(["a", "a", "b"]), counts) == pytest.approx((20 / 25 + 0) / 2)


@pytest.fixture(scope="module")
def measured(kaggle: Path) -> dict[float, Measurements]:
    """The flagship on the small data set at two thresholds, with everything else equal."""
    stage_2, records = Stage2(find_model(FLAGSHIP)), all_slices(kaggle)[0]
    both = (Settings("all", threshold, None, stage_2.clean_up) for threshold in (0.5, 0.9))
    return {settings.threshold: measure_segmentation(stage_2, None, records, settings) for settings in both}


def test_the_sweep_holds_what_another_threshold_would_give(measured: dict[float, Measurements]):
    start, other = measured[0.5], measured[0.9]
    assert not start.slices["tp"].equals(other.slices["tp"])
    for left, right in ((start, other), (other, start), (start, start)):
        threshold = 0.9 if right is other else 0.5
        moved = table_at(left.slices, left.sweep, threshold)
        pd.testing.assert_frame_equal(
            moved.assign(lesions=moved["lesions"].fillna("")),
            right.slices.assign(lesions=right.slices["lesions"].fillna("")),
            check_like=True,
        )
    with pytest.raises(ValueError, match="no threshold 0.123"):
        table_at(start.slices, start.sweep, 0.123)


def test_an_evaluation_survives_its_folder(measured: dict[float, Measurements], tmp_path: Path):
    written = measured[0.5]
    folder = ModelFolder(tmp_path / "model")
    folder.write_config(model_config())
    assert Evaluation.stored(folder, "all") is None
    write_evaluation(folder.path / "evaluation" / "all", written, "model", Settings("all", 0.5))
    stored = Evaluation.stored(folder, "all")
    assert (stored.model, stored.display_name, stored.name, stored.threshold) == ("model", "Mine", "all", 0.5)
    np.testing.assert_array_equal(stored.masks()[:], written.masks[:])
    for kept, made in zip(stored.sweep(), written.sweep, strict=True):
        np.testing.assert_array_equal(kept, made)
    moved = stored.at(0.9)
    assert moved.slices["tp"].tolist() == measured[0.9].slices["tp"].tolist() and moved.key != stored.key
    assert (
        moved.gated(1.0).key != moved.gated(0.5).key
        and len(set(moved.selected([], [], "all slices", 1).slices["patient"])) == 1
    )
    folder.evaluation_path("all", MASKS).write_bytes(b"nonsense")
    os.utime(folder.evaluation_path("all", MASKS), (1, 1))
    with pytest.raises(InputError, match="masks.npz cannot be read"):
        stored.masks()
    folder.evaluation_path("all", MASKS).unlink()
    assert stored.masks() is None


def test_rates_of_stage_1_at_a_threshold_by_hand():
    table = pd.DataFrame({"tumour_pixels": [5, 5, 5, 0, 0], "p_tumour": [0.9, 0.3, 0.01, 0.3, 0.01]})
    assert rates_at(table, 0.02) == {"accuracy": 0.6, "sensitivity": pytest.approx(2 / 3), "specificity": 0.5}
    assert rates_at(table, 0.65) == {"accuracy": 0.6, "sensitivity": pytest.approx(1 / 3), "specificity": 1.0}
    assert np.isnan(rates_at(table[table["tumour_pixels"] > 0], 0.5)["specificity"])
