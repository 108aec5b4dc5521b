"""A head in your hand: a slider cuts it from foot to top, and the tumour comes to light."""

from __future__ import annotations

from pages.common.component import component_of
from resunet.reports.head_frames import head_data

HEAD = component_of(__file__)


def show() -> None:
    """The bundled examination as a head that the visitor cuts open."""
    HEAD(data=head_data(), key="head_in_hand")
