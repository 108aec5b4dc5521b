"""The bundled examination as a head that is cut open, level by level: pictures and figures that docs/head_in_hand.py made."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__)
SPRITE = HERE.with_name("head_frames.webp")  # all frames, COLUMNS abreast, from the foot to the top
MOVING_HEAD = HERE.with_name("head_moving.webp")  # the same as an animation
FIGURES = HERE.with_name("head_figures.json")
NEIGHBOURS = (HERE.with_name("head_slice_1.webp"), HERE.with_name("head_slice_2.webp"))  # two slices, one above the other
COLUMNS = 8


def as_data_uri(path: Path) -> str:
    """A WebP file as a data URI."""
    return f"data:image/webp;base64,{base64.b64encode(path.read_bytes()).decode()}"


@cache
def head_data() -> dict[str, Any]:
    """What a browser needs: sprite, columns, size of a frame in pixels, area_cm2 and volume_ml (up to there) of each level."""
    return {**json.loads(FIGURES.read_text(encoding="utf-8")), "sprite": as_data_uri(SPRITE), "columns": COLUMNS}
