"""A head in your hand: a slider cuts it from foot to top, and the tumour comes to light."""

from __future__ import annotations

from pages.common.stories.component import story_component
from resunet.reports.head_frames import head_data

HEAD = story_component(__file__)


def show() -> None:
    """The bundled examination as a head that the visitor cuts open."""
    HEAD(data=head_data(), key="head_in_hand")
