"""The slideshow: slides in one HTML file that plays by itself, in a browser or from a disk, without a network."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import segno

from resunet.catalogue import FLAGSHIP
from resunet.charts.overlay import PREDICTED, TRUTH, jpeg_uri, outline, render
from resunet.charts.style import model_colour
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.evaluation import Evaluation
from resunet.inference.pipeline import Prediction
from resunet.inference.verdict import verdict
from resunet.reading.scan import Array, BoolMask
from resunet.reports.case_report import score_slice
from resunet.reports.head_frames import MOVING_HEAD, as_data_uri

TEMPLATE = Path(__file__).with_suffix(".html")
PICTURE = 640  # pixels, side of a slice on a slide
SHOWN = ("volume_dice_mean", "lesion_sensitivity_q1")


@dataclass(frozen=True)
class Bar:
    """One bar of a slide: a share in [0, 1] with its interval."""

    label: str
    value: float
    low: float
    high: float
    colour: str
    is_marked: bool = False


class Step(NamedTuple):
    """One picture of a slide, as data URI, with its title and caption."""

    picture: str
    title: str
    caption: str


@dataclass(frozen=True)
class Slide:
    """One slide: a title over a figure, a sentence, pictures that follow one another, or bars.

    Attributes:
        steps: pictures with titles of their own, shown one after the other.
    """

    title: str
    text: str = ""
    figure: str = ""
    note: str = ""
    steps: tuple[Step, ...] = ()
    bars: tuple[Bar, ...] = field(default=())


def slideshow_html(slides: Sequence[Slide]) -> str:
    """The whole slideshow as one HTML document with its pictures inside."""
    data = json.dumps([asdict(slide) for slide in slides]).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace("/*SLIDES*/[]", data)


def title_slide(image: Array) -> Slide:
    """What it is about, with a slice (H, W, 3)."""
    text = "A ResNet-50 decides whether an MRI slice shows one; a ResUNet outlines it."
    return Slide("", steps=(Step(jpeg_uri(render(image, PICTURE)), "Is there a tumour, and where?", text),))


def case_slide(image: Array, mask: BoolMask, prediction: Prediction, origin: str, why: str = "") -> Slide:
    """A slice (H, W, 3) and then its verdict, with both outlines and their Dice where its mask (H, W) shows a tumour.

    Args:
        origin: a sentence on where the slice comes from.
        why: a sentence on what goes wrong in it.
    """
    plain = render(image, PICTURE)
    finding, figures, _ = verdict(prediction)
    title, caption = finding, f"{figures}."
    judged = outline(outline(plain, mask, TRUTH), prediction.mask, PREDICTED)
    if mask.any():
        title = f"{finding}. Dice {score_slice(prediction.mask, mask).dice:.2f}"
        caption = why or "Orange: outlined. Blue: the true outline."
    goes_in = f"A slice goes in. {origin}"
    return Slide("", steps=(Step(jpeg_uri(plain), "Is there a tumour?", goes_in), Step(jpeg_uri(judged), title, caption)))


def last_slide(address: str) -> Slide:
    """The way to the app: its address, also as a QR code."""
    code = io.BytesIO()
    segno.make(address).save(code, kind="png", scale=12, border=3)
    picture = f"data:image/png;base64,{base64.b64encode(code.getvalue()).decode()}"
    return Slide("", steps=(Step(picture, "Try it", f"{address} Research use only."),))


def head_slide() -> Slide:
    """The bundled examination, cut open, with what the volume model outlines in it."""
    text = "A whole examination, simulated, cut from foot to top. Orange is what the volume model outlines."
    return Slide("", steps=(Step(as_data_uri(MOVING_HEAD), "From slices to a head", text),))


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
        Bar(
            evaluations[name].display_name, figure["value"], figure["low"], figure["high"], model_colour(name), name == FLAGSHIP
        )
        for name in ordered
        for figure in [figures[name]]
    )
    note = f"n = {figures[ordered[0]]['n']} patients, 95 % intervals"
    return Slide("Trained on the same data, measured on the same patients", LABELS["volume_dice_mean"], note=note, bars=bars)
