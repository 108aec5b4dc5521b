"""What a data set shows, in the words that cards, badges and screens use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOT_STATED = "not stated"


@dataclass(frozen=True)
class DataSetDescription:
    """A data set in words.

    Attributes:
        name: with authors and year.
        channels: what each channel of a slice shows, one or three of them.
        classes: the kinds of tumour that the set tells apart; empty where it tells none.
        planes: in which its slices lie.
        sequence: which the networks must see: "flair", alone or as the middle of three channels, "post" for contrast-enhanced
            T1, or another of `resunet.reading.sequences.SequenceName`; empty where it is not stated.
        target: what the masks outline, with its article.
        licence: of the images and masks, and so of weights that were trained on them.
        citation: what to cite, as a clause; empty where nothing is asked.
        limits: sentences on what was not seen, for model cards.
        identifier: owner/name where it is published, or empty.
    """

    name: str
    anatomy: str = NOT_STATED
    modality: str = NOT_STATED
    target: str = "the marked region"
    channels: tuple[str, ...] = ("channel 1", "channel 2", "channel 3")
    classes: tuple[str, ...] = ()
    planes: tuple[str, ...] = ("axial",)
    sequence: str = ""
    licence: str = NOT_STATED
    citation: str = ""
    limits: tuple[str, ...] = ()
    identifier: str = ""

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> DataSetDescription:
        """From a JSON object. Raises TypeError or ValueError where it has unknown keys or neither one nor three channels."""
        lists = {name: tuple(content[name]) for name in ("channels", "classes", "planes", "limits") if name in content}
        description = cls(**{**content, **lists})
        if len(description.channels) not in (1, 3):
            raise ValueError(f"one or three channels are expected, not {len(description.channels)}")
        return description
