"""Which models know what a file shows: nothing is judged by networks that were trained on something else.

What the file states comes first, then what the recogniser sees; a person may say otherwise, and that stays marked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from resunet.catalogue import FLAGSHIP, T1CE_MODEL, VOLUME_MODEL, find_model, list_models
from resunet.data.description import DataSetDescription
from resunet.data.transforms import normalise
from resunet.errors import InputError
from resunet.inference.drawings import without_drawings
from resunet.inference.recogniser import CONTENTS, WORDS, Content, load_recogniser
from resunet.reading.scan import Array, Plane, Scan
from resunet.reading.sequences import SEQUENCE_WORDS, SequenceName
from resunet.reading.volume_scan import Volume

LOOKS = 5  # slices of a volume that are looked at
MAYBE, MAYBE_COMPOSED = 0.3, 0.05  # P(FLAIR) from which one channel, or the middle of three, counts as FLAIR; on validation
COLOURED, MOST = 48, 0.5  # grey levels between channels from which a pixel is coloured, and the share of pixels
BYTE_LEVELS = 256  # colours that a map of bytes has
CROP = "If one slice is in it, crop the picture to that slice, upright, and give it again."
T1_WEIGHTED = {"pre", "post"}  # with contrast and without are not told apart surely enough to contradict a file
SURE_OF_NOTHING = 0.98  # probability from which what the file states counts less than that it shows no slice
SURE = 0.9  # probability from which a contradiction with what the file states is said
OTHER_THAN_MRI = {  # as DICOM abbreviates modalities
    "CT": "a CT",
    "PT": "a PET scan",
    "NM": "a nuclear medicine image",
    "US": "an ultrasound image",
    "CR": "an X-ray image",
    "DX": "an X-ray image",
    "MG": "a mammogram",
    "XA": "an angiogram",
    "RF": "a fluoroscopy image",
    "ES": "an endoscopy image",
    "SM": "a microscopy slide",
    "XC": "a photograph",
    "OP": "a photograph of the eye",
}


@dataclass(frozen=True)
class Triage:
    """What is known of a file before it is judged.

    Attributes:
        model: the one that knows what is there; empty where none does.
        sequence: what the file is taken for; None where it is no MR slice of a known kind.
        reason: why it is not judged, as a clause after "Not judged: "; empty where it is.
        notes: contradictions, and that a person decided.
        is_asked: whether a person said what it is.
    """

    model: str
    sequence: SequenceName | None
    reason: str = ""
    notes: tuple[str, ...] = ()
    is_asked: bool = False

    @property
    def is_judged(self) -> bool:
        """Whether a model knows what it is; elsewhere the verdict is "Not judged"."""
        return bool(self.model)

    def with_model(self, model: str | None) -> Triage:
        """The same for a model that a person chose: judged where it knows the sequence, or does not say which it knows."""
        if model is None:
            return self
        knows = find_model(model).config().data_set.sequence
        if not knows:  # a model of somebody's own data, which may show anything
            return replace(self, model=model, reason="")
        if not self.is_judged or knows == self.sequence:
            return replace(self, model=model if self.is_judged else "")
        other = f"this is {SEQUENCE_WORDS[self.sequence]}" if self.sequence else "this is no such slice"
        return replace(
            self, model="", reason=f"{other}, and {find_model(model).config().display_name} knows {SEQUENCE_WORDS[knows]}"
        )


def check_modality(scan: Scan | Volume) -> None:
    """Refuse what was not made by magnetic resonance, by its own account. Raises InputError."""
    made_by = OTHER_THAN_MRI.get(scan.modality or "")
    if made_by is not None:
        raise InputError(f"{scan.name} is {made_by}, as the file says; the models were trained on MRI.")


def triage_scan(scan: Scan, asked: SequenceName | None = None) -> Triage:
    """For all slices of a file, by some of them. Raises InputError where the recogniser is not there."""
    return triage_slices(scan.slices, scan.sequence, scan.plane, asked)


def triage_slice(
    image: Array, stated: SequenceName | None = None, plane: Plane | None = None, asked: SequenceName | None = None
) -> Triage:
    """`triage_slices` of a single one (H, W, 3)."""
    return triage_slices(image[None], stated, plane, asked)


def triage_slices(
    slices: Array, stated: SequenceName | None = None, plane: Plane | None = None, asked: SequenceName | None = None
) -> Triage:
    """For slices (N, H, W, 3) of one file.

    Args:
        stated, plane: what the file says.
        asked: what a person says.

    Raises:
        InputError: the recogniser is not there.
    """
    triage = _decide([look_at(image) for image in _middle(slices)], stated, plane, asked, "slice", (FLAGSHIP, T1CE_MODEL))
    is_blank = not triage.is_judged and not any(normalise(image).any() for image in _middle(slices))
    return Triage(FLAGSHIP, "flair") if is_blank else triage  # which says that there is nothing to judge


def triage_volume(volume: Volume, stated: SequenceName | None, asked: SequenceName | None = None) -> Triage:
    """For a volume, by slices from its middle; its axial slices are what is judged. Raises InputError."""
    looks = [look_at(image) for image in _middle(volume.axial())]
    return _decide(looks, stated or volume.sequence, "axial", asked, "volume", (VOLUME_MODEL, T1CE_MODEL))


def _middle(slices: Array) -> Array:
    """Some of the slices (N, H, W, C) from the middle of many, all of a few."""
    last = len(slices) - 1
    if last < LOOKS:
        return slices
    return slices[np.unique(np.linspace(0.35 * last, 0.65 * last, LOOKS).round().astype(int))]


class Look(NamedTuple):
    """What one slice is taken for, how likely that is, and its plane."""

    content: Content
    share: float
    plane: Plane


def look_at(image: Array) -> Look:
    """The main channel of a slice (H, W, 3), without what is drawn on it.

    Where it may be FLAIR it counts as that, and more easily where three sequences were put together as for the networks.
    """
    clean, _ = without_drawings(image)
    if _is_colour_mapped(clean):
        return Look("none", 1.0, "axial")
    sighting = load_recogniser()(clean[..., clean.shape[2] // 2])
    p_flair = float(sighting.contents[CONTENTS.index("flair")])
    content = sighting.content
    if content not in ("none", "panes") and p_flair >= (MAYBE_COMPOSED if _is_composed(clean) else MAYBE):
        content = "flair"
    return Look(content, float(sighting.contents[CONTENTS.index(content)]), sighting.plane)


def _is_colour_mapped(image: Array) -> bool:
    """Whether grey values were turned into colours: most pixels have one, and there are no more than a byte tells apart."""
    if not _is_composed(image) or image.dtype != np.uint8 or (np.ptp(image, axis=2) > COLOURED).mean() < MOST:
        return False
    levels = image[..., 0].astype(np.int32) << 16 | image[..., 1].astype(np.int32) << 8 | image[..., 2]
    return len(np.unique(levels)) <= BYTE_LEVELS


def _is_composed(image: Array) -> bool:
    """Whether the channels of a slice (H, W, C) differ."""
    return image.strides[2] != 0 and bool(np.any(image[..., 0] != image[..., 1]))


def _decide(
    looks: list[Look],
    stated: SequenceName | None,
    plane: Plane | None,
    asked: SequenceName | None,
    what: str,
    first: tuple[str, ...],
) -> Triage:
    content: Content = Counter(look.content for look in looks).most_common(1)[0][0]
    sure = float(np.mean([look.share for look in looks if look.content == content]))
    seen_plane = plane or Counter(look.plane for look in looks).most_common(1)[0][0]
    notes = []
    if asked is not None:
        notes.append(f"Judged as {SEQUENCE_WORDS[asked]} because you said so; by itself it looks like {WORDS[content]}.")
    elif stated is not None and content != stated and sure >= SURE and not {content, stated} <= T1_WEIGHTED:
        notes.append(f"The file says {SEQUENCE_WORDS[stated]}, but it looks like {WORDS[content]}.")
    contradicts = content == "none" and sure >= SURE_OF_NOTHING
    if asked is None and content in ("panes", "none") and (stated is None or contradicts):
        return Triage("", None, _what_is_there(content, what), (CROP,) if what == "slice" else ())
    sequence: SequenceName = asked or stated or content  # type: ignore[assignment]
    model = _model_that_knows(sequence, None if asked else seen_plane, first)
    if model is None:
        return Triage("", sequence, _why_not(sequence, seen_plane, what, first, stated is not None), tuple(notes))
    return Triage(model, sequence, notes=tuple(notes), is_asked=asked is not None)


def _what_is_there(content: Content, what: str) -> str:
    if content == "panes":
        return "this looks like a picture of several panes"
    return f"this does not look like an MR {what} of a head"


def _why_not(sequence: SequenceName, plane: Plane, what: str, models: tuple[str, ...], is_stated: bool) -> str:
    """Why no model judges a sequence in a plane."""
    verb = "the file says that this is" if is_stated else "this looks like"
    if any(description.sequence == sequence for description in map(_description, models)):
        return f"{verb} {SEQUENCE_WORDS[sequence]} in the {plane} plane, and the models for it know other planes"
    return f"{verb} {WORDS[sequence].replace('slice', what)}"


def _model_that_knows(sequence: SequenceName, plane: Plane | None, first: tuple[str, ...]) -> str | None:
    """The first model whose configuration says that it knows the sequence, and the plane where that counts."""
    for name in dict.fromkeys((*first, *list_models())):
        description = _description(name)
        if description.sequence == sequence and (plane is None or plane in description.planes):
            return name
    return None


def _description(name: str) -> DataSetDescription:
    try:
        return find_model(name).config().data_set
    except InputError:  # not here, as with a model that waits on the Hub
        return DataSetDescription("")
