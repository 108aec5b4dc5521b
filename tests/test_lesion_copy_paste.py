import numpy as np
import torch

from resunet.data.samples import load_samples
from resunet.data.transforms import normalise
from resunet.training.lesion_copy_paste import brain_mask, feathered, paste_lesions

SAMPLES = {sample.name: sample for sample in load_samples()}
EMPTY, DONOR = SAMPLES["none_2"], SAMPLES["typical_1"]
IMAGE, DONOR_IMAGE = normalise(EMPTY.image), normalise(DONOR.image)


def paste(
    image: np.ndarray, mask: np.ndarray, donor_image: np.ndarray, donor_mask: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """One example through the batch's function."""

    def planes(plane: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(plane, np.float32))[None, None]

    def pixels(picture: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]

    new, union = paste_lesions(
        pixels(image),
        planes(mask),
        planes(brain_mask(image)),
        pixels(donor_image),
        planes(donor_mask),
        planes(strength * feathered(donor_mask)),
    )
    return new[0].numpy().transpose(1, 2, 0), union[0, 0].numpy() > 0


def test_the_lesion_moves_with_its_mask_and_nothing_else_changes():
    image, mask = paste(IMAGE, EMPTY.mask, DONOR_IMAGE, DONOR.mask, strength=1.0)
    np.testing.assert_array_equal(mask, DONOR.mask)
    np.testing.assert_allclose(image[DONOR.mask], DONOR_IMAGE[DONOR.mask], atol=0.35)  # feathered at the rim only
    changed = np.abs(image - IMAGE).max(axis=-1) > 1e-6
    rows, columns = np.nonzero(DONOR.mask)
    assert not changed[: rows.min() - 13].any() and not changed[:, columns.max() + 14 :].any()


def test_a_weak_lesion_lies_between_both_slices():
    strong, _ = paste(IMAGE, EMPTY.mask, DONOR_IMAGE, DONOR.mask, strength=1.0)
    weak, mask = paste(IMAGE, EMPTY.mask, DONOR_IMAGE, DONOR.mask, strength=0.5)
    np.testing.assert_allclose(weak, (IMAGE + strong) / 2, atol=1e-5)
    np.testing.assert_array_equal(mask, DONOR.mask)


def test_an_existing_tumour_stays_in_the_mask():
    other = SAMPLES["large_1"]
    _, mask = paste(normalise(other.image), other.mask, DONOR_IMAGE, DONOR.mask, strength=1.0)
    np.testing.assert_array_equal(mask, other.mask | DONOR.mask)


def test_a_lesion_outside_the_brain_is_left_where_it_was():
    corner, nothing = np.zeros_like(DONOR.mask), np.zeros_like(DONOR.mask)
    corner[2:20, 2:20] = True
    for image, lesion in ((IMAGE, corner), (np.zeros_like(IMAGE), DONOR.mask), (IMAGE, nothing)):
        pasted, mask = paste(image, EMPTY.mask, DONOR_IMAGE, lesion, strength=1.0)
        np.testing.assert_array_equal(pasted, image)
        assert not mask.any()
