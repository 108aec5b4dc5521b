"""The head that is cut open: what lies on the cut is seen, what lies above it is gone."""

import json

import numpy as np
from PIL import Image

from resunet.charts.rendering import BACKGROUND, HeadStack
from resunet.reports.head_frames import COLUMNS, FIGURES, SPRITE, head_data

SIDES = (2.0, 1.0, 1.0)


def head_with_tumour() -> tuple[np.ndarray, np.ndarray]:
    """A cylinder of 20 slices with a ball in its upper half, to the right."""
    depth, height, width = np.mgrid[:20, :60, :60]
    flair = 100 * (((height - 30) / 25) ** 2 + ((width - 30) / 25) ** 2 < 1)
    return flair, ((depth - 14) / 3) ** 2 + ((height - 30) / 6) ** 2 + ((width - 42) / 6) ** 2 < 1


def orange(picture: np.ndarray) -> np.ndarray:
    return np.argwhere(picture[..., 0].astype(int) - picture[..., 2] > 60)


def test_the_tumour_is_seen_where_the_cut_goes_through_it_and_nowhere_else():
    stack = HeadStack(*head_with_tumour(), SIDES, 200)
    assert len(orange(stack.picture(14.5 / 20, 0))) > 100
    for level in (0.3, 1.0):
        assert len(orange(stack.picture(level, 0))) == 0


def test_half_a_turn_brings_the_right_to_the_left():
    stack = HeadStack(*head_with_tumour(), SIDES, 200)
    columns = [orange(stack.picture(14.5 / 20, angle))[:, 1].mean() - 100 for angle in (0, 180)]
    assert columns[0] > 10 and abs(sum(columns)) < 2


def test_a_higher_cut_leaves_more_of_the_head_within_the_picture():
    stack = HeadStack(*head_with_tumour(), SIDES, 200)
    shares = [(np.abs(stack.picture(level, 0).astype(int) - BACKGROUND).max(axis=2) > 20) for level in (0.2, 0.6, 1.0)]
    assert shares[0].sum() < shares[1].sum() < shares[2].sum()
    assert not any(share[0].any() or share[-1].any() or share[:, 0].any() or share[:, -1].any() for share in shares)


def test_the_bundled_frames_and_figures_belong_together():
    data, figures = head_data(), json.loads(FIGURES.read_text())
    assert len(figures["area_cm2"]) == len(figures["volume_ml"]) and data["columns"] == COLUMNS
    with Image.open(SPRITE) as sprite:
        assert sprite.size == (COLUMNS * data["size"], -(-len(figures["area_cm2"]) // COLUMNS) * data["size"])
    assert np.diff(figures["volume_ml"]).min() >= 0 and 100 < figures["volume_ml"][-1] < 200
