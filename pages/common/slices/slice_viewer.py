"""The canvas on which a slice is explored; everything but the gate acts in the browser, without a rerun."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import streamlit as st

from pages.common.component import component_of
from pages.common.slices.shown_slice import ShownSlice
from resunet.charts import overlay
from resunet.inference.pipeline import Prediction

LARGEST = 1024  # pixels along the longer side; larger slices are shown with every second pixel, or every third
UNCERTAINTY_TOP = 0.25  # standard deviation that is shown brightest
STATE = "slice_viewer"  # its key, and the name of this module
VIEWER = component_of(__file__)


def chosen_threshold(case: ShownSlice, validated: float) -> float:
    """Where the visitor left the threshold of this slice, what a link asks for, or what validation chose."""
    shown = st.session_state.get(STATE, {}).get("shown") or {}
    if shown.get("key") == case.key:
        return float(shown["threshold"])
    asked = _linked(case, "threshold")
    try:
        return min(0.99, max(0.01, float(asked))) if float(asked) == float(asked) else validated
    except ValueError:
        return validated


def _linked(case: ShownSlice, name: str) -> str:
    """What the address asks for, where it leads to this slice and not to one that was shown before."""
    is_meant = case.link is not None and all(st.query_params.get(key) == value for key, value in case.link.items())
    return st.query_params.get(name, "") if is_meant else ""


def show(case: ShownSlice, prediction: Prediction, validated: float) -> None:
    """The slice with its layers; `prediction` has the threshold that is shown first."""
    step = -(-max(case.image.shape[:2]) // LARGEST)
    rows, columns = case.spacing or (1.0, 1.0)
    maps = {"probability": prediction.probability}
    if not np.isnan(prediction.p_tumour):  # which stage 1 gave
        maps["grad_cam"] = prediction.grad_cam * overlay.head_mask(case.image)
    if prediction.uncertainty is not None:
        maps["uncertainty"] = np.clip(prediction.uncertainty / UNCERTAINTY_TOP, 0, 1)
    data: dict[str, Any] = {name: _two_bytes(values[::step, ::step]) for name, values in maps.items() if values is not None}
    truth = case.truth
    VIEWER(
        data={
            **data,
            "key": case.key,
            "stamp": f"{prediction.gated}-{prediction.uncertainty is not None}",
            "image": _png(overlay.channels(case.image)[::step, ::step]),
            "truth": None if truth is None else _png(np.repeat(truth[::step, ::step, None], 3, axis=2).astype(np.uint8) * 255),
            "has_truth": truth is not None and bool(truth.any()),
            "threshold": prediction.threshold,
            "validated": validated,
            "gated": prediction.gated,
            "one_channel": bool(prediction.looked_at),
            "aspect": rows / columns,
            "column_mm": columns * step if case.spacing else None,
            "file_pixels": step**2,
            "pixel_mm2": rows * columns * step**2 if case.spacing else None,
            "sides": case.sides,
            "link": case.link,
            "layer": _linked(case, "layer"),
        },
        on_shown_change=lambda: None,
        key=STATE,
    )


def _two_bytes(values: npt.NDArray[np.float32]) -> str:
    """Values (H, W) in [0, 1] as a PNG whose red and green are the high and the low byte of 65535 times them."""
    whole = np.round(np.clip(values, 0, 1) * 65535).astype(np.uint16)
    return _png(np.stack([whole >> 8, whole & 255, np.zeros_like(whole)], axis=-1).astype(np.uint8))


def _png(picture: overlay.Picture) -> str:
    encoded = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"
