"""The slideshow: slides in one HTML file that plays by itself, in a browser or from a disk, without a network."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from resunet.charts.overlay import Picture, Window, draw, render
from resunet.charts.style import model_colour
from resunet.data.samples import Sample
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.evaluation import Evaluation
from resunet.inference.pipeline import Prediction
from resunet.reports.case_report import score_slice, verdict

TEMPLATE = Path(__file__).with_suffix(".html")
PICTURE = 640  # pixels, side of a slice on a slide
JPEG_QUALITY = 90
SHOWN = ("volume_dice_mean", "tumour_slice_dice", "lesion_sensitivity_q1")


@dataclass(frozen=True)
class Bar:
    """One bar of a slide: a share in [0, 1] with its interval."""

    label: str
    value: float
    low: float
    high: float
    colour: str


@dataclass(frozen=True)
class Slide:
    """One slide: a title over a figure, a sentence, pictures that follow one another, or bars.

    Attributes:
        steps: (picture as data URI, caption) pairs, shown one after the other.
    """

    title: str
    text: str = ""
    figure: str = ""
    note: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    bars: tuple[Bar, ...] = field(default=())


def slideshow_html(slides: Sequence[Slide]) -> str:
    """The whole slideshow as one HTML document with its pictures inside."""
    data = json.dumps([asdict(slide) for slide in slides]).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace("/*SLIDES*/[]", data)


def case_slide(sample: Sample, prediction: Prediction) -> Slide:
    """A bundled sample on its way through both stages."""
    plain = render(sample.image, "FLAIR", Window(), PICTURE)
    grad_cam = draw(plain, prediction.mask, prediction.grad_cam, "heat", 0.7)
    steps = [
        (_data_uri(plain), "A slice goes in." + (" This one is simulated." if sample.simulated else "")),
        (_data_uri(grad_cam), f"Stage 1: P(tumour) {prediction.p_tumour:.1%}. Bright: evidence for a tumour."),
    ]
    if not prediction.gated:
        outlined = draw(plain, prediction.mask, prediction.probability, "outline", 1.0)
        steps.append((_data_uri(outlined), f"Stage 2: {verdict(prediction)}{_against_truth(sample, prediction)}"))
    else:
        steps.append((_data_uri(plain), "Below the gate: no tumour found, nothing to outline."))
    return Slide("Is there a tumour?", steps=tuple(steps))


def _against_truth(sample: Sample, prediction: Prediction) -> str:
    if not sample.mask.any():
        return ""
    return f" Dice with the truth: {score_slice(prediction.mask, sample.mask).dice:.2f}."


def finding_slides(evaluation: Evaluation) -> list[Slide]:
    """The main figures of a model, one per slide, with interval and n."""
    slides = []
    for name in SHOWN:
        figure = evaluation.summary["metrics"][name]
        interval = f"95 % interval {figure['low']:.2f} to {figure['high']:.2f}"
        note = f"{interval}, n = {figure['n']:,} {figure['unit']}s, {evaluation.display_name}"
        slides.append(Slide("On patients it has never seen", LABELS[name], f"{figure['value']:.2f}", note))
    return slides


def comparison_slide(evaluations: Mapping[str, Evaluation]) -> Slide:
    """Mean volume Dice of every model, best first."""
    figures = {name: evaluation.summary["metrics"]["volume_dice_mean"] for name, evaluation in evaluations.items()}
    ordered = sorted(figures, key=lambda name: -figures[name]["value"])
    bars = tuple(
        Bar(evaluations[name].display_name, figure["value"], figure["low"], figure["high"], model_colour(name))
        for name in ordered
        for figure in [figures[name]]
    )
    note = f"n = {figures[ordered[0]]['n']} patients, 95 % intervals"
    return Slide("Trained on the same data, measured on the same patients", LABELS["volume_dice_mean"], note=note, bars=bars)


def _data_uri(picture: Picture) -> str:
    stored = np.ascontiguousarray(picture[..., ::-1])
    content = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
