import numpy as np
import pytest

from resunet.data.samples import REPLAY, load_samples
from resunet.data.simulator import KINDS, simulate
from resunet.errors import InputError


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_pixels(kind: str):
    first, second = simulate(kind, 11), simulate(kind, 11)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert not np.array_equal(first.image, simulate(kind, 12).image)
    assert first.image.shape == (256, 256, 3) and first.image.dtype == np.uint8


def test_kinds_are_what_they_say():
    sizes = {kind: [int(simulate(kind, seed).mask.sum()) for seed in range(6)] for kind in KINDS}
    assert not any(sizes["none"])
    assert all(0 < size < 150 for size in sizes["small"])
    assert min(sizes["large"]) > 1000
    assert all(sizes[kind] for kind in ("typical", "faint", "cavity"))


def test_lesions_are_bright_on_flair_and_faint_ones_less_so():
    def contrast(kind: str) -> float:
        ratios = []
        for seed in range(8):
            drawn = simulate(kind, seed)
            flair = drawn.image[..., 1].astype(float)
            near = np.roll(drawn.mask, 25, axis=1) & ~drawn.mask & (flair > 20)
            ratios.append(flair[drawn.mask].mean() / flair[near].mean())
        return float(np.median(ratios))

    assert contrast("typical") > 1.3 > contrast("faint") > 1.0


def test_a_cavity_is_dark_and_outside_the_mask():
    drawn = simulate("cavity", 2)
    rows, columns = np.nonzero(drawn.mask)
    centre = int(rows.mean()), int(columns.mean())
    assert not drawn.mask[centre]
    assert drawn.image[centre][1] < 0.5 * drawn.image[..., 1][drawn.mask].mean()


def test_the_replays_slices_come_from_this_simulator():
    sample = load_samples(REPLAY)[0]
    drawn = simulate("large", 2)
    np.testing.assert_array_equal(sample.mask, drawn.mask)
    assert np.abs(sample.image.astype(int) - drawn.image).max() <= 1


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(InputError, match="no simulated kind 'huge'.*cavity"):
        simulate("huge", 1)
