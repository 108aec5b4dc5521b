"""The verdict in words, on a slice and on all that a file holds: the same in tables, on screen, in reports and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from resunet.data.transforms import FloatImage
from resunet.errors import NoContrastError
from resunet.inference.pipeline import Prediction
from resunet.reading.scan import BoolMask, Scan

FOUND = "Tumour found"
NOT_FOUND = "No tumour found"
UNCLEAR = "Unclear"
NOT_JUDGED = "Not judged"
UNLIKE = "Unlike the scans this was trained on"
ASKED = "Judged because you said so"
MANY = 0.5  # share of a volume's slices that must be unlike the training's for the volume to be so
# When an outline is too weak for a verdict. The largest rule that keeps 97 % of validation's slices with 100 tumour pixels, and
# for volumes all tumours of validation, whose largest slice has 581 pixels at least (docs/findings.md).
EVEN = 0.5  # P(tumour) under which a small outline alone is no tumour
SMALL_IN_SLICE = 200 / 256**2  # share of a slice's square
SMALL_IN_VOLUME = 500 / 256**2  # share of a slice's square that the outline must reach in some slice


class Verdict(NamedTuple):
    """What is said about a slice: the headline, the figures behind it, and what should make one doubt it."""

    headline: str
    figures: str = ""
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.headline}. {self.figures}." if self.figures else f"{self.headline}."


def not_judged(reason: str) -> Verdict:
    """Neither a probability nor an outline; `reason` is a clause."""
    return Verdict(f"{NOT_JUDGED}: {reason}")


def verdict(prediction: Prediction, spacing: tuple[float, float] | None = None) -> Verdict:
    """Whether a tumour was found, how sure stage 1 is, and how large it is: in mm² with the file's spacing."""
    area = int(prediction.mask.sum())
    headline = headline_of(area, prediction.mask.shape, prediction.p_tumour, prediction.stage_1_threshold)
    flags = (UNLIKE,) if prediction.is_unlike_training else ()
    start = _looked_at(prediction)
    if area:
        size = f"{area:,} pixels" if spacing is None else f"{area:,} pixels ({area * spacing[0] * spacing[1]:,.0f} mm²)"
        why = ", too weak an outline to tell" if headline == UNCLEAR else ""
        return Verdict(headline, f"{start}, {size}, {area / prediction.mask.size:.1%} of the slice{why}", flags)
    if prediction.gated:
        return Verdict(headline, f"{start}, below the gate of {prediction.gate:.0%}", flags)
    reached = prediction.probability is not None and prediction.probability.max() >= prediction.threshold
    reason = "clean-up removed every region" if reached else f"no pixel reaches the threshold of {prediction.threshold:.2f}"
    return Verdict(headline, f"{start}; {reason}", flags)


def _looked_at(prediction: Prediction) -> str:
    """Stage 1's probability, or the likeliest kind of tumour where a network tells kinds and outlines one."""
    if prediction.kinds and prediction.mask.any():
        kind, share = max(prediction.kinds.items(), key=lambda item: item[1])
        article = "an" if kind[0] in "aeiou" else "a"
        return f"On {prediction.looked_at}; most like {article} {kind}, {percent(share)}"
    if prediction.looked_at:
        return f"On {prediction.looked_at}"
    return "Stage 2 alone" if math.isnan(prediction.p_tumour) else f"P(tumour) {percent(prediction.p_tumour)}"


def headline_of(area: int, shape: tuple[int, ...], p_tumour: float, stage_1_threshold: float) -> str:
    """The headline for a slice, in the words that stand everywhere.

    Args:
        area: pixels of the mask.
        shape: rows and columns of the slice.
        p_tumour: of stage 1; NaN without it.
        stage_1_threshold: p_tumour from which stage 1 on its own says that there is a tumour.
    """
    if not area:
        return UNCLEAR if p_tumour >= stage_1_threshold else NOT_FOUND
    return UNCLEAR if p_tumour < EVEN and area < SMALL_IN_SLICE * max(shape) ** 2 else FOUND


def headline_of_volume(mask: BoolMask, p_tumour: FloatImage, stage_1_threshold: float) -> str:
    """The headline for a volume's axial mask (D, H, W) and stage 1's p_tumour (D,), NaN where it was not run."""
    areas = mask.sum(axis=(1, 2))
    if not areas.any():
        return UNCLEAR if np.any(p_tumour >= stage_1_threshold) else NOT_FOUND
    is_large = areas.max() >= SMALL_IN_VOLUME * max(mask.shape[1:]) ** 2
    outlined = p_tumour[(areas > 0) & np.isfinite(p_tumour)]
    return FOUND if is_large and (not outlined.size or outlined.max() >= EVEN) else UNCLEAR


def percent(p_tumour: float) -> str:
    """P(tumour) as it is written everywhere."""
    return f"{p_tumour:.1%}"


@dataclass
class ScanSummary:
    """What the pipeline says about all slices of a scan together; fed with one prediction after the other."""

    scan: Scan
    _predictions: list[_Figures] = field(default_factory=list)
    _notes: dict[str, None] = field(default_factory=dict)
    _without_contrast: int = 0

    def add(self, prediction: Prediction | None) -> None:
        """The next slice; None for one without contrast."""
        if prediction is None:
            self._without_contrast += 1
            return
        area = int(np.count_nonzero(prediction.mask))
        headline = headline_of(area, prediction.mask.shape, prediction.p_tumour, prediction.stage_1_threshold)
        kinds = prediction.kinds if area else {}
        self._predictions.append(
            _Figures(headline, prediction.p_tumour, prediction.gated, area, prediction.is_unlike_training, kinds)
        )
        self._notes.update(dict.fromkeys(prediction.notes))

    def content(self) -> dict[str, Any]:
        """Verdict, highest P(tumour), tumour pixels, whether it is unlike the training set, and all notes.

        Raises:
            NoContrastError: not one slice could be judged.
        """
        if not self._predictions:
            raise NoContrastError(f"{self.scan.name} holds nothing with contrast to judge; give one that shows tissue.")
        headlines, p_tumour, gated, areas, unlike, kinds = zip(*self._predictions, strict=True)
        notes = list(dict.fromkeys((*self.scan.notes, *self._notes)))
        if self._without_contrast:
            notes.append(f"{self._without_contrast} of {len(self.scan.slices)} slices have no contrast and were not judged.")
        spacing = self.scan.spacing
        return {
            "verdict": next(headline for headline in (FOUND, UNCLEAR, NOT_FOUND) if headline in headlines),
            "p_tumour": None if math.isnan(p_tumour[0]) else round(max(p_tumour), 6),
            "gated": all(gated),
            "tumour_pixels": sum(areas),
            **({"area_mm2": round(sum(areas) * math.prod(spacing), 1)} if spacing else {}),
            **kinds_content(kinds),
            "slices": len(self.scan.slices),
            "unlike_training": sum(unlike) > MANY * len(unlike),
            "notes": notes,
        }


class _Figures(NamedTuple):
    headline: str
    p_tumour: float
    gated: bool
    area: int
    unlike: bool
    kinds: Mapping[str, float]


def kinds_content(kinds: Iterable[Mapping[str, float]]) -> dict[str, Any]:
    """The mean probability of each kind over the slices that told kinds, as a JSON object's entry; none where none did."""
    known_kinds = [each for each in kinds if each]
    return (
        {"kinds": {name: round(float(np.mean([each[name] for each in known_kinds])), 4) for name in known_kinds[0]}}
        if known_kinds
        else {}
    )
