from dataclasses import replace

import numpy as np

from resunet.data.augmentation import GRID, NO_CHANGE, STRONG, AugmentationRanges, apply, sample
from resunet.data.samples import load_samples
from resunet.data.transforms import normalise

SAMPLE = next(one for one in load_samples() if one.kind == "large")
IMAGE = normalise(SAMPLE.image)


def test_no_change_changes_nothing():
    image, mask = apply(NO_CHANGE, IMAGE, SAMPLE.mask, 256)
    np.testing.assert_allclose(image, IMAGE, atol=1e-4)
    np.testing.assert_array_equal(mask, SAMPLE.mask)


def test_flip_mirrors_image_and_mask():
    image, mask = apply(replace(NO_CHANGE, flip=True), IMAGE, SAMPLE.mask, 256)
    np.testing.assert_allclose(image, IMAGE[:, ::-1], atol=1e-4)
    np.testing.assert_array_equal(mask, SAMPLE.mask[:, ::-1])


def test_image_and_mask_warp_together():
    as_image = np.repeat(SAMPLE.mask[..., None], 3, axis=-1).astype(np.float32)
    for seed in range(20):
        parameters = replace(sample(STRONG, np.random.default_rng(seed)), gamma=1.0, noise=0.0, bias=(0.0,) * 9)
        parameters = replace(parameters, gain=(1.0,) * 3, offset=(0.0,) * 3, blur=0.0)
        image, mask = apply(parameters, as_image, SAMPLE.mask, 256)
        differing = np.count_nonzero((image[..., 0] > 0.5) != mask)
        assert differing <= 0.02 * mask.sum() + 5


def test_the_same_parameters_give_the_same_pixels():
    parameters = sample(AugmentationRanges(), np.random.default_rng(7))
    first, second = (apply(parameters, IMAGE, SAMPLE.mask, 192) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert (
        sample(AugmentationRanges(), np.random.default_rng(7))
        == parameters
        != sample(AugmentationRanges(), np.random.default_rng(8))
    )


def test_scale_grows_the_tumour_by_its_square():
    _, mask = apply(replace(NO_CHANGE, scale=1.2), IMAGE, SAMPLE.mask, 256)
    assert abs(mask.sum() / SAMPLE.mask.sum() - 1.44) < 0.05


def test_a_smaller_window_is_a_central_crop():
    image, mask = apply(NO_CHANGE, IMAGE, SAMPLE.mask, 192)
    np.testing.assert_allclose(image, IMAGE[32:224, 32:224], atol=1e-4)
    np.testing.assert_array_equal(mask, SAMPLE.mask[32:224, 32:224])


def test_an_even_elastic_grid_is_a_shift():
    nodes = (4 / 256,) * GRID**2 + (0.0,) * GRID**2  # every output pixel looks four columns further right
    image, mask = apply(replace(NO_CHANGE, elastic=nodes), IMAGE, SAMPLE.mask, 256)
    np.testing.assert_allclose(image[:, :252], IMAGE[:, 4:], atol=1e-3)
    np.testing.assert_array_equal(mask[:, :252], SAMPLE.mask[:, 4:])


def test_blur_softens_the_image_and_leaves_the_mask():
    image, mask = apply(replace(NO_CHANGE, blur=1.0), IMAGE, SAMPLE.mask, 256)
    assert np.abs(np.diff(image, axis=0)).mean() < 0.8 * np.abs(np.diff(IMAGE, axis=0)).mean()
    np.testing.assert_array_equal(mask, SAMPLE.mask)
