import numpy as np

from resunet.data.lesion_copy_paste import paste_lesion
from resunet.data.samples import load_samples
from resunet.data.transforms import normalise

SAMPLES = {sample.name: sample for sample in load_samples()}
EMPTY, DONOR = SAMPLES["none_2"], SAMPLES["typical_1"]
IMAGE, DONOR_IMAGE = normalise(EMPTY.image), normalise(DONOR.image)


def test_the_lesion_moves_with_its_mask_and_nothing_else_changes():
    image, mask = paste_lesion(IMAGE, EMPTY.mask, DONOR_IMAGE, DONOR.mask, strength=1.0)
    np.testing.assert_array_equal(mask, DONOR.mask)
    np.testing.assert_allclose(image[DONOR.mask], DONOR_IMAGE[DONOR.mask], atol=0.35)  # feathered at the rim only
    changed = np.abs(image - IMAGE).max(axis=-1) > 1e-6
    rows, columns = np.nonzero(DONOR.mask)
    assert not changed[: rows.min() - 13].any() and not changed[:, columns.max() + 14 :].any()
    assert IMAGE is not image and not EMPTY.mask.any()


def test_a_weak_lesion_lies_between_both_slices():
    strong, _ = paste_lesion(IMAGE, EMPTY.mask, DONOR_IMAGE, DONOR.mask, strength=1.0)
    weak, mask = paste_lesion(IMAGE, EMPTY.mask, DONOR_IMAGE, DONOR.mask, strength=0.5)
    np.testing.assert_allclose(weak, (IMAGE + strong) / 2, atol=1e-5)
    np.testing.assert_array_equal(mask, DONOR.mask)


def test_an_existing_tumour_stays_in_the_mask():
    other = SAMPLES["large_1"]
    _, mask = paste_lesion(normalise(other.image), other.mask, DONOR_IMAGE, DONOR.mask, strength=1.0)
    np.testing.assert_array_equal(mask, other.mask | DONOR.mask)


def test_a_lesion_outside_the_brain_is_left_where_it_was():
    corner = np.zeros_like(DONOR.mask)
    corner[2:20, 2:20] = True
    image, mask = paste_lesion(IMAGE, EMPTY.mask, DONOR_IMAGE, corner, strength=1.0)
    assert image is IMAGE and mask is EMPTY.mask
    blank = np.zeros_like(IMAGE)
    assert paste_lesion(blank, EMPTY.mask, DONOR_IMAGE, DONOR.mask, strength=1.0)[0] is blank
