"""The turning head: surfaces where they are, seen from the side that is turned to the viewer."""

import numpy as np

from resunet.charts.overlay import PREDICTED
from resunet.charts.rendering import BACKGROUND, turning_head


def test_a_tumour_on_the_right_of_the_picture_is_on_its_left_after_half_a_turn():
    depth, height, width = np.mgrid[:20, :60, :60]
    flair = 100 * (((height - 30) / 25) ** 2 + ((width - 30) / 25) ** 2 < 1)
    mask = ((depth - 10) / 3) ** 2 + ((height - 30) / 6) ** 2 + ((width - 42) / 6) ** 2 < 1
    front, behind = turning_head(flair, mask, (2.0, 1.0, 1.0), 2)
    assert front.shape == behind.shape and front.shape[0] == 40  # 20 slices of 2 mm
    for picture, side in ((front, 1), (behind, -1)):
        _, columns = np.nonzero(picture[..., 0].astype(int) - picture[..., 2] > 30)  # orange
        assert len(columns) > 20 and 8 < side * (columns.mean() - picture.shape[1] / 2) < 16  # drawn 12 from the middle
    np.testing.assert_allclose(front[0, 0], BACKGROUND, atol=1)
    assert np.argmax(front[20, 42 + (front.shape[1] - 60) // 2]) == np.argmax(PREDICTED)


def test_nothing_outlined_leaves_the_head():
    head = np.zeros((16, 40, 40))
    head[2:14, 8:32, 8:32] = 50
    (picture,) = turning_head(head, np.zeros(head.shape, bool), (1.0, 1.0, 1.0), 1)
    assert (np.ptp(picture.astype(int), axis=2) < 60).all() and picture[8].max() > 40
