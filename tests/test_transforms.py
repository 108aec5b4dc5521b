import cv2
import numpy as np
import pytest

from resunet.data.samples import load_samples
from resunet.data.slices import mask_to_grid
from resunet.data.transforms import HIGH, LOW, fit_back, fit_to_grid, normalise, stretch, with_square_pixels

SAMPLES = {sample.name: sample for sample in load_samples()}
IMAGE = load_samples()[0].image


def test_tissue_gets_median_zero_and_interquartile_range_one():
    result = normalise(IMAGE)
    for channel in range(3):
        plane = IMAGE[..., channel].astype(float)
        tissue = result[..., channel][plane > 0.08 * np.percentile(plane, 99)]
        first, median, third = np.percentile(tissue, (25, 50, 75))
        assert abs(median) < 0.05
        assert third - first == pytest.approx(1.0, abs=0.05)
    assert result.dtype == np.float32
    assert result.min() >= LOW and result.max() <= HIGH


@pytest.mark.parametrize(("gain", "offset"), [(3.0, 0.0), (0.01, 0.0), (1.0, 1000.0), (12.5, -40.0)])
def test_gain_and_offset_of_the_scanner_cancel_out(gain: float, offset: float):
    changed = IMAGE.astype(np.float64) * gain + offset
    np.testing.assert_allclose(normalise(changed), normalise(IMAGE), atol=2e-3)


def test_golden_values_of_a_ramp():
    # Foreground of 0..99 (above 8 % of the 99th percentile) is 8..99: quartiles 30.75, 53.5, 76.25.
    ramp = np.tile(np.arange(100.0), (60, 1))[..., None]
    result = normalise(ramp)[0, :, 0]
    np.testing.assert_allclose(result, (np.arange(100) - 53.5) / 45.5, atol=1e-5)


def test_a_channel_without_contrast_becomes_zero():
    flat = np.full((64, 64, 3), 7, np.uint8)
    assert not normalise(flat).any()
    assert not normalise(np.zeros((64, 64, 3))).any()


@pytest.mark.parametrize("level", [-3000.0, 40.5, 90.5, 300.0])
def test_the_value_that_fills_an_even_background_does_not_matter(level: float):
    plane = SAMPLES["large_1"].image[..., 1].astype(np.float64)
    labels = cv2.connectedComponents((plane < 12).astype(np.uint8), connectivity=4)[1]
    air = labels == labels[0, 0]
    plane[air] = 0
    expected = normalise(np.where(air, plane[~air].min(), plane)[..., None])
    np.testing.assert_allclose(normalise(np.where(air, level, plane)[..., None]), expected, atol=1e-4)


def test_a_brain_that_was_z_scored_inside_keeps_its_contrast():
    plane = SAMPLES["large_1"].image[..., 1].astype(np.float64)
    outside = cv2.connectedComponents((plane <= 20).astype(np.uint8), connectivity=4)[1]
    brain = outside != outside[0, 0]
    scored = np.where(brain, (plane - plane[brain].mean()) / plane[brain].std(), 0.0)
    lowest = np.where(brain, scored, scored.min())
    np.testing.assert_allclose(normalise(scored[..., None]), normalise(lowest[..., None]), atol=1e-5)


def test_a_white_page_around_the_slice_is_no_tissue():
    page = np.full((400, 500), 255, np.uint8)
    page[60:316, 80:336] = IMAGE[..., 1]
    black = np.where(page == 255, 0, page)
    black[60:316, 80:336] = IMAGE[..., 1]
    np.testing.assert_allclose(normalise(page[..., None]), normalise(black[..., None]), atol=1e-5)


def test_a_level_that_fills_half_of_the_foreground_does_not_hide_the_rest():
    framed = np.full((360, 360), 100.0)
    framed[50:306, 50:306] = IMAGE[..., 1]
    framed[0], framed[-1], framed[:, 0], framed[:, -1] = 0, 0, 0, 0  # a black frame, so that the grey page has no border
    assert np.ptp(normalise(framed[..., None])[50:306, 50:306]) > 2


@pytest.mark.parametrize("values", [(7, 7), (0, 255), (3, 200)])
def test_one_or_two_values_are_no_picture(values: tuple[int, int]):
    plane = np.full((64, 64, 1), values[0], np.uint8)
    plane[20:40, 20:40] = values[1]
    assert not normalise(plane).any()


def test_pixels_become_square_and_back():
    image = np.asarray(IMAGE, np.float32)[::2]
    square = with_square_pixels(image, (2.0, 1.0))
    assert square.shape == IMAGE.shape
    assert stretch(square, *image.shape[:2]).shape == image.shape
    assert with_square_pixels(image, (1.0, 1.02)) is image and with_square_pixels(image, None) is image
    assert max(with_square_pixels(image, (100.0, 1.0)).shape) <= 2048


@pytest.mark.parametrize(("height", "width"), [(256, 256), (200, 256), (301, 173), (512, 512), (64, 90)])
def test_fitting_to_the_grid_and_back_keeps_the_place(height: int, width: int):
    rows, columns = np.mgrid[0:height, 0:width]
    blob = ((rows - 0.6 * height) ** 2 + (columns - 0.3 * width) ** 2 < (0.15 * min(height, width)) ** 2).astype(np.float32)
    grid = fit_to_grid(np.repeat(blob[..., None], 3, axis=-1), 256)
    assert grid.shape == (256, 256, 3)
    back = fit_back(np.ascontiguousarray(grid[..., 0]), height, width) > 0.5
    truth = blob > 0.5
    overlap = 2 * (back & truth).sum() / (back.sum() + truth.sum())
    assert overlap > 0.95
    on_grid = mask_to_grid(truth, 256)
    assert 2 * (on_grid & (grid[..., 0] > 0.5)).sum() / (on_grid.sum() + (grid[..., 0] > 0.5).sum()) > 0.95
