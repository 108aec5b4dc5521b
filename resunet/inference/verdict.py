"""The verdict in words, on a slice and on all that a file holds: the same in tables, on screen, in reports and as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from resunet.errors import NoContrastError
from resunet.inference.pipeline import Prediction
from resunet.reading.scan import Scan

FOUND = "Tumour found"
SUSPICIOUS = "Suspicious, but nothing outlined"
NOT_FOUND = "No tumour found"
UNLIKE = "Unlike the scans this was trained on"
MANY = 0.5  # share of a volume's slices that must be unlike the training's for the volume to be so


class Verdict(NamedTuple):
    """What is said about a slice: the headline, the figures behind it, and what should make one doubt it."""

    headline: str
    figures: str
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.headline}. {self.figures}."


def verdict(prediction: Prediction, spacing: tuple[float, float] | None = None) -> Verdict:
    """Whether a tumour was found, how sure stage 1 is, and how large it is: in mm² with the file's spacing."""
    p_tumour = "Stage 2 alone" if math.isnan(prediction.p_tumour) else f"P(tumour) {percent(prediction.p_tumour)}"
    area = int(prediction.mask.sum())
    headline = verdict_of(area, prediction.p_tumour, prediction.certain)
    flags = (UNLIKE,) if prediction.is_unlike_training else ()
    if area:
        size = f"{area:,} pixels" if spacing is None else f"{area:,} pixels ({area * spacing[0] * spacing[1]:,.0f} mm²)"
        return Verdict(headline, f"{p_tumour}, {size}, {area / prediction.mask.size:.1%} of the slice", flags)
    if prediction.gated:
        return Verdict(headline, f"{p_tumour}, below the gate of {prediction.gate:.0%}", flags)
    reached = prediction.probability is not None and prediction.probability.max() >= prediction.threshold
    reason = "clean-up removed every region" if reached else f"no pixel reaches the threshold of {prediction.threshold:.2f}"
    return Verdict(headline, f"{p_tumour}; {reason}", flags)


def verdict_of(tumour_pixels: int, p_tumour: float, certain: float) -> str:
    """The verdict on a slice or a volume, in the words that stand everywhere.

    Args:
        tumour_pixels: of the mask.
        p_tumour: of stage 1, of a volume the highest; NaN without stage 1.
        certain: p_tumour from which stage 1 on its own says that there is a tumour.
    """
    if tumour_pixels:
        return FOUND
    return SUSPICIOUS if p_tumour >= certain else NOT_FOUND


def percent(p_tumour: float) -> str:
    """P(tumour) as it is written everywhere."""
    return f"{p_tumour:.1%}"


@dataclass
class ScanSummary:
    """What the pipeline says about all slices of a scan together; fed with one prediction after the other."""

    scan: Scan
    _figures: list[tuple[float, bool, int, bool, float]] = field(default_factory=list)
    _notes: dict[str, None] = field(default_factory=dict)
    _not_judged: int = 0

    def add(self, prediction: Prediction | None) -> None:
        """The next slice; None for one without contrast."""
        if prediction is None:
            self._not_judged += 1
            return
        pixels = int(np.count_nonzero(prediction.mask))
        self._figures.append((prediction.p_tumour, prediction.gated, pixels, prediction.is_unlike_training, prediction.certain))
        self._notes.update(dict.fromkeys(prediction.notes))

    def content(self) -> dict[str, Any]:
        """Verdict, highest P(tumour), tumour pixels, whether it is unlike the training set, and all notes.

        Raises:
            NoContrastError: not one slice could be judged.
        """
        if not self._figures:
            raise NoContrastError(f"{self.scan.name} holds nothing with contrast to judge; give one that shows tissue.")
        p_tumour, gated, pixels, unlike, certain = zip(*self._figures, strict=True)
        notes = list(dict.fromkeys((*self.scan.notes, *self._notes)))
        if self._not_judged:
            notes.append(f"{self._not_judged} of {len(self.scan.slices)} slices have no contrast and were not judged.")
        return {
            "verdict": verdict_of(sum(pixels), max(p_tumour), certain[0]),
            "p_tumour": None if math.isnan(p_tumour[0]) else round(max(p_tumour), 6),
            "gated": all(gated),
            "tumour_pixels": sum(pixels),
            **({"area_mm2": round(sum(pixels) * math.prod(spacing), 1)} if (spacing := self.scan.spacing) else {}),
            "slices": len(self.scan.slices),
            "unlike_training": sum(unlike) > MANY * len(unlike),
            "notes": notes,
        }
