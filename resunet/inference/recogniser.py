"""What a picture shows, before any network judges it: sequence, plane, with skull or without; or that it is no MR slice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from resunet.data.transforms import FloatImage
from resunet.errors import InputError
from resunet.inference.runtime import FORWARD_PASSES, core
from resunet.inference.stages import sigmoid, softmax
from resunet.model_folder import GRAPH_FILE, REPOSITORY
from resunet.reading.scan import PLANES, Plane

Content = Literal["pre", "flair", "post", "t2", "other", "panes", "none"]
CONTENTS: tuple[Content, ...] = get_args(Content)  # in the order of the network's outputs
WORDS: dict[str, str] = {  # by Content
    "pre": "a T1-weighted slice",
    "flair": "a FLAIR slice",
    "post": "a contrast-enhanced T1 slice",
    "t2": "a T2-weighted slice",
    "other": "an MR slice of another sequence",
    "panes": "a picture of several panes",
    "none": "no MR slice of a head",
}
FOLDER = REPOSITORY / "weights" / "recogniser"
SIDE = 128  # pixels along each side of what the recogniser sees
DARKEST, BRIGHTEST = 0.5, 99.5  # percentiles that become black and white


@dataclass(frozen=True)
class Sighting:
    """What the recogniser takes a picture for.

    Attributes:
        contents: probability of each of CONTENTS.
        planes: probability of each of PLANES; they mean something for slices alone.
        p_skull: probability that skull and scalp are there.
    """

    contents: npt.NDArray[np.float32]
    planes: npt.NDArray[np.float32]
    p_skull: float

    @property
    def content(self) -> Content:
        """The likeliest."""
        return CONTENTS[int(self.contents.argmax())]

    @property
    def plane(self) -> Plane:
        """The likeliest."""
        return PLANES[int(self.planes.argmax())]


class Recogniser:
    """The exported network. Thread-safe: forward passes take turns.

    Raises:
        InputError: the graph is missing or damaged.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        try:
            graph = core().read_model(folder / GRAPH_FILE)
            graph.reshape([1, 1, SIDE, SIDE])
            settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
            self._request: Any = core().compile_model(graph, "CPU", settings).create_infer_request()
        except RuntimeError:
            raise InputError(f"{folder} is missing or damaged; get the repository's weights again.") from None

    def __call__(self, plane: npt.NDArray[np.generic]) -> Sighting:
        """Look at one channel (H, W) of a slice, or at a grey picture."""
        seen = as_seen(plane)[None, None]
        with FORWARD_PASSES.hold():
            contents, planes, skull = (output[0].copy() for output in self._request.infer([seen]).values())
        return Sighting(softmax(contents), softmax(planes), float(sigmoid(skull[0])))


@cache
def load_recogniser() -> Recogniser:
    """The bundled one, once per process. Raises InputError."""
    return Recogniser()


def as_seen(plane: npt.NDArray[np.generic]) -> FloatImage:
    """(SIDE, SIDE) in [0, 1] of a picture (H, W), padded to a square with the darkest value."""
    pixels = np.asarray(plane, np.float32)
    low, high = np.percentile(pixels, (DARKEST, BRIGHTEST))
    scaled = np.clip((pixels - low) / max(float(high - low), 1e-6), 0, 1)
    height, width = scaled.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = cv2.copyMakeBorder(scaled, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=0.0)
    how = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=how), np.float32)
