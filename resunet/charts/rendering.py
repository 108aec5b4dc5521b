"""A head cut open: the slices up to a level stacked in space, with the tumour that lies on the cut."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from resunet.charts.overlay import PREDICTED, Picture
from resunet.reading.scan import BoolMask

BACKGROUND = (14, 21, 27)  # the slideshow's
SKIN_LIGHT, SKIN_DARK = 178.0, 62.0  # grey of the head's outside where it faces the light and where it does not
TILT = math.radians(32)  # of the view above the horizon
TUMOUR_OPACITY = 0.85
FINE = 2  # layers per millimetre of height


class HeadStack:
    """A head as layers of equal height, ready to be drawn at any angle and cut at any level.

    Args:
        flair: axial slices (D, H, W) from foot to head, front up.
        mask: (D, H, W), the tumour.
        sides: millimetres between slices, rows and columns.
        size: pixels, side of the pictures.
    """

    def __init__(
        self, flair: npt.NDArray[np.generic], mask: BoolMask, sides: tuple[float, float, float], size: int = 360
    ) -> None:
        self.size = size
        grey = np.asarray(flair, np.float32)
        brightest = float(np.percentile(grey[grey > 0], 99.5)) if np.any(grey > 0) else 1.0
        self._slices = np.clip(grey / brightest * 255, 0, 255).astype(np.uint8)
        self._heads = [_filled(one) for one in self._slices]
        self._mask = mask
        height, depth, width = (count * side for count, side in zip(flair.shape, sides, strict=True))
        self._sides, self._height = sides, height
        self._scale = 0.97 * size / max(depth, width, height * math.cos(TILT) + depth * math.sin(TILT))

    def picture(self, level: float, angle: float) -> Picture:
        """The head from its foot to `level`, a share of its height, turned by `angle` degrees: (size, size, 3)."""
        picture = np.empty((self.size, self.size, 3), np.uint8)
        picture[:] = BACKGROUND
        layers = max(1, round(level * self._height * FINE * 0.5))
        for layer in range(layers):
            index = min(len(self._slices) - 1, int(layer / (self._height * FINE * 0.5) * len(self._slices)))
            matrix = self._placed(layer / (FINE * 0.5), angle)
            head = self._warped(self._heads[index], matrix)
            if layer < layers - 1:
                self._draw_rim(picture, head)
            else:
                self._draw_cut(picture, head, index, matrix)
        return picture

    def _placed(self, height: float, angle: float) -> npt.NDArray[np.float64]:
        """The affine map of a slice's pixels to the picture, at a height in millimetres."""
        rows, columns = self._slices[0].shape
        turn = math.radians(angle)
        scale_x, scale_y = self._sides[2] * self._scale, self._sides[1] * self._scale
        linear = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) @ np.diag([scale_x, scale_y])
        linear[1] *= math.sin(TILT)
        bottom = self.size / 2 + self._height * self._scale * math.cos(TILT) / 2
        middle = np.array([self.size / 2, bottom - height * self._scale * math.cos(TILT)])
        return np.column_stack([linear, middle - linear @ np.array([columns / 2, rows / 2])])

    def _warped(self, plane: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        return np.asarray(cv2.warpAffine(plane, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR), np.uint8)

    def _draw_rim(self, picture: Picture, head: npt.NDArray[np.uint8]) -> None:
        """A layer whose inside will be covered: what is left of it is skin, lit from the left."""
        light = np.linspace(1.0, 0.0, self.size, dtype=np.float32) ** 1.3
        grey = (SKIN_DARK + (SKIN_LIGHT - SKIN_DARK) * light)[None, :, None]
        share = head[..., None].astype(np.float32) / 255
        picture[:] = (picture * (1 - share) + grey * share).astype(np.uint8)

    def _draw_cut(self, picture: Picture, head: npt.NDArray[np.uint8], index: int, matrix: npt.NDArray[np.float64]) -> None:
        """The topmost layer: the slice itself, with the tumour in orange."""
        slice_ = self._warped(self._slices[index], matrix).astype(np.float32)[..., None].repeat(3, axis=2)
        tumour = self._warped(self._mask[index].astype(np.uint8) * 255, matrix)[..., None] / 255 * TUMOUR_OPACITY
        shown = slice_ * (1 - tumour) + np.array(PREDICTED, np.float32) * tumour
        share = head[..., None].astype(np.float32) / 255
        picture[:] = (picture * (1 - share) + shown * share).astype(np.uint8)


def _filled(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The head in a slice, its dark inside included, as 0 and 255."""
    tissue = (cv2.GaussianBlur(plane, (0, 0), 2) > 18).astype(np.uint8)
    outlines, _ = cv2.findContours(tissue, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = [max(outlines, key=cv2.contourArea)] if outlines else []
    return np.asarray(cv2.drawContours(np.zeros(plane.shape, np.uint8), largest, -1, 255, cv2.FILLED), np.uint8)
