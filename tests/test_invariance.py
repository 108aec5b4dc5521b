"""What a file does to the numbers or the frame must not move the mask: gain, offset, background, turns, air around it."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resunet.data.samples import load_samples
from tests.conftest import bundled

IMAGES = {sample.name: sample.image for sample in load_samples() if sample.mask.sum() > 400}
NAMES = st.sampled_from(list(IMAGES))
CLEAR = st.sampled_from(["typical_1", "large_2", "large_3"])  # whose outline the network is sure of
EXAMPLES = settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def mask_of(image: np.ndarray) -> np.ndarray:
    return bundled().predict(image).mask


@cache
def before(name: str) -> np.ndarray:
    return mask_of(IMAGES[name])


# A faint tumour's outline follows even air that is a few grey levels lighter.
OUTLINED = st.deferred(lambda: st.sampled_from([name for name in IMAGES if before(name).sum() > 1000]))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum()) if (one | other).any() else 1.0


def air_of(image: np.ndarray) -> np.ndarray:
    """Pixels (H, W) outside of the head, in all channels alike."""
    dark = cv2.GaussianBlur(image, (0, 0), 2).max(axis=2) < 25
    labels = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)[1]
    return labels == labels[0, 0]


@cache
def air(name: str) -> np.ndarray:
    return air_of(IMAGES[name])[..., None]


@cache
def even(name: str) -> np.ndarray:
    """The slice in air of one level."""
    return np.where(air(name), IMAGES[name][~air(name)[..., 0]].min(axis=0), IMAGES[name]) + 0.0


@pytest.mark.slow
@EXAMPLES
@given(NAMES, st.integers(1, 4096), st.integers(-5000, 5000))
def test_gain_and_offset_move_no_pixel(name: str, gain: int, offset: int):
    changed = IMAGES[name].astype(np.float64) * (gain / 64) + offset  # exact in float32, as the numbers of a file are
    np.testing.assert_array_equal(mask_of(changed), before(name))


@pytest.mark.slow
@EXAMPLES
@given(OUTLINED, st.one_of(st.integers(-4000, -300), st.integers(0, 4000)), st.booleans())
def test_no_background_constant_moves_the_mask(name: str, level: int, half: bool):
    constant = level + 0.5 * half
    expected = mask_of(even(name))
    changed = np.where(air(name), constant, even(name))
    assert dice(mask_of(changed), expected) >= 0.95


@pytest.mark.slow
@EXAMPLES
@given(CLEAR, st.integers(0, 3), st.booleans())
def test_a_clear_tumour_turns_with_its_slice(name: str, turns: int, flip: bool):
    def turned(plane: np.ndarray) -> np.ndarray:
        return np.rot90(plane[:, ::-1] if flip else plane, turns)

    assert dice(mask_of(np.ascontiguousarray(turned(IMAGES[name]))), turned(before(name))) >= 0.98


@pytest.mark.slow
@EXAMPLES
@given(CLEAR, st.tuples(*[st.integers(-20, 40)] * 4))
def test_air_around_the_head_can_come_and_go(name: str, margins: tuple[int, int, int, int]):
    top, bottom, left, right = margins
    padded = np.pad(even(name), ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)), mode="edge")
    rows = slice(max(-top, 0), padded.shape[0] - max(-bottom, 0))
    columns = slice(max(-left, 0), padded.shape[1] - max(-right, 0))
    after = mask_of(padded[rows, columns])
    expected = np.pad(before(name), ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))))[rows, columns]
    assert dice(after, expected) >= 0.95
