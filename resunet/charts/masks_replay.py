"""The training replay's other half: what the network made of the sample slices after each epoch."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from resunet.charts.animation import FRAME_MS, OVER_TITLES, STEPS, with_controls
from resunet.charts.style import ORANGE, SKY, finish


def masks_animation(
    images: list[npt.NDArray[np.uint8]], truths: list[npt.NDArray[np.bool_]], masks: npt.NDArray[np.bool_], titles: list[str]
) -> go.Figure:
    """Sample slices with the predicted outline of each epoch over the true one, with the same controls as the curves.

    Args:
        images: grey pictures (S, S) uint8, one per sample.
        truths: true masks (S, S).
        masks: predicted masks (epochs, samples, S, S).
        titles: one per sample.
    """
    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.08, shared_xaxes=False
    )
    for index, (image, truth) in enumerate(zip(images, truths, strict=True)):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        figure.add_layout_image(_background(image), **place)
        figure.add_trace(_contour(truth, "truth", SKY, "dot", index == 0), **place)
        figure.update_xaxes(range=[0, image.shape[1]], visible=False, **place)
        figure.update_yaxes(range=[image.shape[0], 0], visible=False, scaleanchor=f"x{index + 1 if index else ''}", **place)
    first = len(figure.data)
    for index in range(len(images)):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        figure.add_trace(_contour(masks[-1, index], "predicted", ORANGE, "solid", index == 0), **place)
    traces = list(range(first, first + len(images)))
    figure.frames = [
        go.Frame(name=f"{epoch:.2f}", traces=traces, data=[_outline(masks[epoch, index]) for index in range(len(images))])
        for epoch in range(len(masks))
    ]
    finish(figure, height=230 * rows + 80)
    figure.update_layout(**OVER_TITLES)
    return with_controls(figure, len(masks), frame_ms=FRAME_MS * STEPS)


def _background(image: npt.NDArray[np.uint8]) -> dict[str, Any]:
    size = {"x": 0, "y": 0, "sizex": image.shape[1], "sizey": image.shape[0]}
    return {"source": Image.fromarray(image), **size, "xref": "x", "yref": "y", "sizing": "stretch", "layer": "below"}


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


def _contour(mask: npt.NDArray[np.bool_], name: str, colour: str, dash: str, legend: bool) -> go.Scatter:
    """The outlines of a mask as a trace."""
    line = {"color": colour, "width": 2, "dash": dash}
    return go.Scatter(**_outline(mask), mode="lines", line=line, name=name, showlegend=legend, hoverinfo="skip")
