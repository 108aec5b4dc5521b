"""The training replay's other half: what the network made of the sample slices after each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from resunet.charts.style import ORANGE, SKY


class SampleMasks(NamedTuple):
    """Sample slices and what a network outlined in them after each epoch.

    Attributes:
        images: grey pictures (S, S) uint8, one per sample.
        true_masks: (S, S) each.
        masks: predicted masks (epochs, samples, S, S).
        titles: one per sample.
    """

    images: list[npt.NDArray[np.uint8]]
    true_masks: list[npt.NDArray[np.bool_]]
    masks: npt.NDArray[np.bool_]
    titles: list[str]

    @property
    def rows(self) -> int:
        """Of pictures, three abreast."""
        return -(-len(self.titles) // 3)

    def places(self, above: int) -> list[tuple[int, int]]:
        """Row and column of each picture in a grid of six columns, under `above` rows."""
        return [(above + index // 3 + 1, index % 3 * 2 + 1) for index in range(len(self.titles))]

    def truths(self) -> list[dict[str, Any]]:
        """The true outlines."""
        return [_contour(mask, "true outline", SKY, "dot", index == 0) for index, mask in enumerate(self.true_masks)]

    def last(self) -> list[dict[str, Any]]:
        """What is outlined after the last epoch."""
        return [_contour(mask, "outlined", ORANGE, "solid", index == 0) for index, mask in enumerate(self.masks[-1])]

    def at(self, epoch: int) -> list[dict[str, Any]]:
        """What was outlined after an epoch, counted from 1; after the last one, what then."""
        return [_outline(mask) for mask in self.masks[min(epoch, len(self.masks)) - 1]]

    def layout(self, axes: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """What puts the slices under their outlines, with their titles, and takes the axes away."""
        layout: dict[str, Any] = {}
        images, titles = [], []
        for image, title, at in zip(self.images, self.titles, axes, strict=True):
            x, y = at["xaxis"], at["yaxis"]
            layout[x.replace("x", "xaxis")] = {"range": [0, image.shape[1]], "visible": False, "constrain": "domain"}
            layout[y.replace("y", "yaxis")] = {"range": [image.shape[0], 0], "visible": False, "scaleanchor": x}
            images.append(_background(image) | {"xref": x, "yref": y})
            words = {"text": title, "showarrow": False, "x": image.shape[1] / 2, "y": 0, "yanchor": "bottom"}
            titles.append(words | {"xref": x, "yref": y})
        return layout | {"images": images, "annotations": titles}


def _background(image: npt.NDArray[np.uint8]) -> dict[str, Any]:
    size = {"x": 0, "y": 0, "sizex": image.shape[1], "sizey": image.shape[0]}
    return {"source": Image.fromarray(image), **size, "sizing": "stretch", "layer": "below"}


def _outline(mask: npt.NDArray[np.bool_]) -> dict[str, list[float | None]]:
    """x and y of the outlines of a mask as one line with gaps, thinned to what the eye sees."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    x: list[float | None] = []
    y: list[float | None] = []
    for outline in outlines:
        points = cv2.approxPolyDP(outline, 0.7, True)[:, 0].tolist()
        points.append(points[0])
        x += [point[0] + 0.5 for point in points] + [None]
        y += [point[1] + 0.5 for point in points] + [None]
    return {"x": x, "y": y}


def _contour(mask: npt.NDArray[np.bool_], name: str, colour: str, dash: str, legend: bool) -> dict[str, Any]:
    """The outlines of a mask as a trace."""
    line = {"color": colour, "width": 2, "dash": dash}
    return {
        "type": "scatter",
        **_outline(mask),
        "mode": "lines",
        "line": line,
        "name": name,
        "showlegend": legend,
        "hoverinfo": "skip",
    }
