import json
from dataclasses import replace

import numpy as np
import pytest

from resunet.charts import overlay
from resunet.data.samples import load_samples
from resunet.evaluation import regions
from resunet.inference.pipeline import Prediction
from resunet.inference.verdict import UNLIKE, verdict
from resunet.model_folder import CleanUp
from resunet.reports.case_report import IN_PIXELS, regions_table, report, score_slice

SAMPLE = next(sample for sample in load_samples() if sample.name == "large_1")


def square(side: int = 10) -> np.ndarray:
    mask = np.zeros((100, 120), bool)
    mask[20 : 20 + side, 30 : 30 + side] = True
    return mask


def prediction(mask: np.ndarray, p_tumour: float = 0.9) -> Prediction:
    return Prediction(p_tumour, 0.5, 0.5, CleanUp(), mask.astype(np.float32), np.zeros(mask.shape, np.float32))


def test_a_square_is_measured_as_it_was_drawn():
    mask = square()
    mask[60:63, 70:74] = True
    table = regions.measure_regions(mask)
    first = table.iloc[0]
    assert len(table) == 2 and first["area_px"] == 100
    assert (first["centroid_row"], first["centroid_column"]) == (24.5, 34.5)
    assert (first["top"], first["left"], first["height"], first["width"]) == (20, 30, 10, 10)
    assert first["diameter_px"] == pytest.approx(np.hypot(10, 10), abs=0.05)
    assert table.iloc[1]["diameter_px"] == 5.0


def test_millimetres_follow_the_spacing_of_rows_and_columns():
    first = regions.measure_regions(square(), spacing=(2.0, 0.5)).iloc[0]
    assert first["area_mm2"] == 100.0
    assert first["diameter_mm"] == pytest.approx(np.hypot(20, 5), abs=0.05)
    assert regions.measure_regions(np.zeros((5, 5), bool)).empty


def test_verdict_has_a_line_for_each_outcome():
    assert str(verdict(prediction(square()))) == "Tumour found. P(tumour) 90.0%, 100 pixels, 0.8% of the slice."
    assert str(verdict(prediction(square(), 0.2))).startswith("No tumour found. P(tumour) 20.0%, below the gate of 50%")
    assert str(verdict(prediction(square(0)))).startswith("No tumour found. P(tumour) 90.0%; no pixel reaches")
    sure = replace(prediction(square(0)), stage_1_threshold=0.65)
    assert str(verdict(sure)).startswith("Unclear. P(tumour) 90.0%; no pixel reaches")


def test_scores_by_hand():
    scores = score_slice(square(10), square(8))
    assert scores == pytest.approx((2 * 64 / 164, 0.64, 0.64, 1.0))
    assert np.isnan(score_slice(square(0), square(0)).dice)


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0)])
@pytest.mark.parametrize("side", [0, 10])
def test_every_note_on_the_screen_is_in_json_and_csv(spacing: tuple[float, float] | None, side: int):
    noted = replace(prediction(square(side)), notes=("One channel.", "Turned upright."), ood_score=2.0)
    expected = [f"{UNLIKE}.", "One channel.", "Turned upright.", *([] if spacing else [IN_PIXELS])]
    content = json.loads(report("slice.png", noted, "model", spacing, None))
    assert content["notes"] == expected and content["unlike_training"] is True
    assert content["verdict"] == verdict(noted).headline
    table = regions_table(noted, spacing)
    assert len(table) == 1 and table["notes"].iloc[0] == " ".join(expected)


def test_report_is_json_with_the_figures_of_the_screen():
    content = json.loads(report("slice.png", prediction(square()), "model", (1.0, 2.0), square(8)))
    assert content["tumour_pixels"] == 100 and content["research_use_only"] is True
    assert content["regions"][0]["area_mm2"] == 200.0
    assert content["scores"]["dice"] == pytest.approx(2 * 64 / 164, abs=1e-6)
    assert json.loads(report("x", prediction(square(0)), "m", None, square(0)))["scores"]["dice"] is None


def test_grey_values_are_spread_from_black_to_white():
    image = np.repeat(np.linspace(-500, 1000, 256 * 256).reshape(256, 256, 1), 3, axis=-1)
    shown = overlay.render(image, 256)[..., 0]
    assert abs(int(shown[128, 128]) - 128) <= 3 and shown.min() == 0 and shown.max() == 255


def test_each_overlay_changes_what_it_should():
    plain = overlay.render(SAMPLE.image, 512)
    probability = SAMPLE.mask.astype(np.float32)
    assert plain.shape == (512, 512, 3)
    line = overlay.outline(plain, SAMPLE.mask, overlay.PREDICTED)
    assert 0 < (line != plain).any(axis=-1).sum() < 4 * SAMPLE.mask.sum() / 2
    warm = overlay.heat_over(plain, probability, 0.8)
    inside = (warm != plain).any(axis=-1).sum()
    assert inside == pytest.approx(4 * SAMPLE.mask.sum(), rel=0.1)
    assert (overlay.heat_over(plain, probability, 0.0) == plain).all()


def test_the_head_is_found_with_its_dark_parts():
    head = overlay.head_mask(SAMPLE.image)
    assert 0.25 < head.mean() < 0.75 and head[SAMPLE.mask].all() and not head[:5].any() and not head[-5:].any()


def test_error_map_colours_hits_misses_and_false_positives():
    truth, predicted = square(10), np.roll(square(10), 5, axis=1)
    plain = np.zeros((100, 120, 3), np.uint8)
    picture = overlay.error_map(plain, predicted, truth, opacity=1.0)
    assert tuple(picture[25, 37]) == overlay.HIT
    assert tuple(picture[25, 32]) == overlay.MISS
    assert tuple(picture[25, 42]) == overlay.FALSE_POSITIVE
    assert not picture[0, 0].any()
