from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from resunet.data.augmentation import GRID, NO_CHANGE, STRONG, AugmentationParameters, AugmentationRanges, matrix, sample
from resunet.data.samples import load_samples
from resunet.data.transforms import normalise, resize
from resunet.training.augment import augment, blurred, shrunk

SAMPLE = next(one for one in load_samples() if one.kind == "large")
IMAGE = normalise(SAMPLE.image)


def apply(parameters: AugmentationParameters, image: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One slice (H, W, 3) through the batch's function."""
    images = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    masks = torch.from_numpy(mask.astype(np.float32))[None, None]
    new, outlines = augment(images, masks, [parameters], size)
    return new[0].numpy().transpose(1, 2, 0), outlines[0, 0].numpy() > 0


def test_no_change_changes_nothing():
    image, mask = apply(NO_CHANGE, IMAGE, SAMPLE.mask, 256)
    np.testing.assert_allclose(image, IMAGE, atol=1e-3)
    np.testing.assert_array_equal(mask, SAMPLE.mask)


def test_flip_mirrors_image_and_mask():
    image, mask = apply(replace(NO_CHANGE, flip=True), IMAGE, SAMPLE.mask, 256)
    np.testing.assert_allclose(image, IMAGE[:, ::-1], atol=1e-3)
    np.testing.assert_array_equal(mask, SAMPLE.mask[:, ::-1])


@pytest.mark.parametrize("seed", range(5))
def test_the_warp_is_that_of_opencv(seed: int):
    drawn = sample(STRONG, np.random.default_rng(seed))
    moved = {name: getattr(drawn, name) for name in ("angle", "scale", "shift", "shear", "flip")}
    geometry = replace(NO_CHANGE, **moved)
    image, _ = apply(geometry, IMAGE, SAMPLE.mask, 192)
    air = [float(value) for value in IMAGE.min(axis=(0, 1))]
    warped = cv2.warpAffine(IMAGE, matrix(geometry, (256, 256), 192), (192, 192), flags=cv2.INTER_LINEAR, borderValue=air)
    assert np.abs(image - warped).mean() < 0.01  # OpenCV rounds places to a 32nd of a pixel


def test_image_and_mask_warp_together():
    as_image = np.repeat(SAMPLE.mask[..., None], 3, axis=-1).astype(np.float32)
    for seed in range(20):
        parameters = replace(sample(STRONG, np.random.default_rng(seed)), gamma=1.0, noise=0.0, bias=(0.0,) * 9)
        parameters = replace(parameters, gain=(1.0,) * 3, offset=(0.0,) * 3, blur=0.0)
        image, mask = apply(parameters, as_image, SAMPLE.mask, 256)
        differing = np.count_nonzero((image[..., 0] > 0.5) != mask)
        assert differing <= 0.02 * mask.sum() + 5


def test_the_same_parameters_give_the_same_pixels():
    parameters = replace(sample(AugmentationRanges(), np.random.default_rng(7)), noise=0.1)
    first, second = (apply(parameters, IMAGE, SAMPLE.mask, 192) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    again = replace(sample(AugmentationRanges(), np.random.default_rng(7)), noise=0.1)
    assert again == parameters != sample(AugmentationRanges(), np.random.default_rng(8))


def test_scale_grows_the_tumour_by_its_square():
    _, mask = apply(replace(NO_CHANGE, scale=1.2), IMAGE, SAMPLE.mask, 256)
    assert abs(mask.sum() / SAMPLE.mask.sum() - 1.44) < 0.05


def test_a_smaller_window_is_a_central_crop():
    image, mask = apply(NO_CHANGE, IMAGE, SAMPLE.mask, 192)
    np.testing.assert_allclose(image, IMAGE[32:224, 32:224], atol=1e-3)
    np.testing.assert_array_equal(mask, SAMPLE.mask[32:224, 32:224])


def test_an_even_elastic_grid_is_a_shift():
    nodes = (4 / 256,) * GRID**2 + (0.0,) * GRID**2  # every output pixel looks four columns further right
    image, mask = apply(replace(NO_CHANGE, elastic=nodes), IMAGE, SAMPLE.mask, 256)
    np.testing.assert_allclose(image[:, :-4], IMAGE[:, 4:], atol=2e-3)
    np.testing.assert_array_equal(mask[:, :-4], SAMPLE.mask[:, 4:])


def test_the_elastic_grid_turns_with_the_slice():
    nodes = tuple(np.random.default_rng(1).uniform(-0.02, 0.02, 2 * GRID**2))
    turned = replace(NO_CHANGE, angle=25.0, elastic=nodes)
    image, _ = apply(turned, IMAGE, SAMPLE.mask, 256)
    grids = np.float32(nodes).reshape(2, GRID, GRID) * 256
    right, down = (cv2.resize(grid, (256, 256), interpolation=cv2.INTER_CUBIC) for grid in grids)
    (a, b, c), (d, e, f) = cv2.invertAffineTransform(matrix(turned, (256, 256), 256))
    x, y = np.arange(256)[None, :] + right, np.arange(256)[:, None] + down
    columns, rows = np.float32(a * x + b * y + c), np.float32(d * x + e * y + f)
    air = [float(value) for value in IMAGE.min(axis=(0, 1))]
    expected = cv2.remap(IMAGE, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=air)
    assert np.abs(image - expected).mean() < 0.01


def test_intensities_by_hand():
    gained = apply(replace(NO_CHANGE, gain=(2.0, 1.0, 0.5), offset=(0.0, 1.0, -1.0)), IMAGE, SAMPLE.mask, 256)[0]
    np.testing.assert_allclose(gained, IMAGE * [2.0, 1.0, 0.5] + [0.0, 1.0, -1.0], atol=3e-3)
    curved = apply(replace(NO_CHANGE, gamma=1.5), IMAGE, SAMPLE.mask, 256)[0]
    low, span = IMAGE.min(axis=(0, 1)), np.ptp(IMAGE, axis=(0, 1))
    np.testing.assert_allclose(curved, ((IMAGE - low) / span) ** 1.5 * span + low, atol=3e-3)
    biased = apply(replace(NO_CHANGE, bias=(0.4,) * 9), IMAGE, SAMPLE.mask, 256)[0]
    np.testing.assert_allclose(biased, IMAGE + (IMAGE - low) * 0.2, atol=3e-3)
    missing = apply(replace(NO_CHANGE, missing=(True, True)), IMAGE, SAMPLE.mask, 256)[0]
    np.testing.assert_allclose(missing, np.repeat(IMAGE[..., 1:2], 3, axis=2), atol=1e-3)
    noisy = apply(replace(NO_CHANGE, noise=0.1, seed=5), IMAGE, SAMPLE.mask, 256)[0] - IMAGE
    assert abs(noisy.std() - 0.1) < 2e-3 and abs(noisy.mean()) < 2e-3


def test_each_example_of_a_batch_gets_its_own_parameters():
    several = [replace(NO_CHANGE, flip=True), replace(NO_CHANGE, offset=(1.0,) * 3), NO_CHANGE, replace(NO_CHANGE, blur=1.0)]
    images = torch.from_numpy(IMAGE.transpose(2, 0, 1).copy()).repeat(4, 1, 1, 1)
    masks = torch.from_numpy(SAMPLE.mask.astype(np.float32)).repeat(4, 1, 1, 1)
    new, _ = augment(images, masks, several, 256)
    for row, parameters in enumerate(several):
        np.testing.assert_allclose(
            new[row].numpy().transpose(1, 2, 0), apply(parameters, IMAGE, SAMPLE.mask, 256)[0], atol=1e-4
        )


def test_flair_alone_takes_the_place_of_both():
    ranges = AugmentationRanges(missing_channel=0.0, flair_only=0.5)
    drawn = [sample(ranges, np.random.default_rng(seed)).missing for seed in range(400)]
    assert set(drawn) == {(False, False), (True, True)}
    assert 0.4 < np.mean([both for both, _ in drawn]) < 0.6


@pytest.mark.parametrize("deviation", [0.5, 1.2])
def test_blur_is_that_of_opencv(deviation: float):
    images = torch.from_numpy(IMAGE.transpose(2, 0, 1).copy())[None]
    expected = cv2.GaussianBlur(IMAGE, (0, 0), deviation)
    np.testing.assert_allclose(blurred(images, [deviation])[0].numpy().transpose(1, 2, 0), expected, atol=5e-3)


@pytest.mark.parametrize("size", [128, 192, 100])
def test_shrinking_is_that_of_inference(size: int):
    images = torch.from_numpy(IMAGE.transpose(2, 0, 1).copy())[None]
    np.testing.assert_allclose(shrunk(images, size)[0].numpy().transpose(1, 2, 0), resize(IMAGE, size), atol=1e-3)
