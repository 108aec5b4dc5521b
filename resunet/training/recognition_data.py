"""What the recogniser learns from: slices of all sets, cuts through heads, simulated heads, made-up pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from resunet.data import brats, lgg, no_tumour, outliers, t1ce
from resunet.data.slices import Slice, by_patient
from resunet.data.splits import read_split
from resunet.data.transforms import FloatImage, has_few_levels
from resunet.inference.recogniser import CONTENTS, Content, as_seen
from resunet.reading.formats.jpegxl import read_grey
from resunet.reading.scan import PLANES, Plane
from resunet.simulation.patient import Patient

Picture = npt.NDArray[np.generic]
UNKNOWN = -1  # a label that a picture does not have
SAME = 0.02  # mean difference, in shares of the range, under which a channel of the LGG set is FLAIR standing in
HEAD_MM = 150.0  # what the slices of an LGG patient cover from foot to head, about
LGG_PIXEL = 0.9  # millimetres, about
SIMULATED: tuple[tuple[str, int], ...] = (("none", 30), ("meningioma_falx", 4), ("pituitary", 4))  # kinds and their numbers
MADE_UP = 700  # pictures of each kind
RIM, SCALP = 17.0, 12.0  # pixels of 0.9 mm from the skin to the brain, and to the skull's inner side, about
CUTS = 10  # slices that are cut from a volume in each of the two other planes


class Item(NamedTuple):
    """A picture (SIDE, SIDE) uint8 and its labels; UNKNOWN where it has none."""

    picture: npt.NDArray[np.uint8]
    content: int
    plane: int
    skull: int


@dataclass(frozen=True)
class RecognitionSet:
    """Pictures (N, SIDE, SIDE) uint8, labels (N,) int64, and of each picture its source."""

    pictures: npt.NDArray[np.uint8]
    contents: npt.NDArray[np.int64]
    planes: npt.NDArray[np.int64]
    skulls: npt.NDArray[np.int64]
    sources: npt.NDArray[np.str_]

    @classmethod
    def of(cls, items: Sequence[tuple[str, Item]]) -> RecognitionSet:
        """From items with their sources."""
        pictures, contents, planes, skulls = zip(*(item for _, item in items), strict=True)
        labels = [np.array(each, np.int64) for each in (contents, planes, skulls)]
        return cls(np.stack(pictures), labels[0], labels[1], labels[2], np.array([source for source, _ in items]))


def item(picture: Picture, content: Content, plane: Plane | None = None, skull: bool | None = None) -> Item:
    """A picture (H, W) or (H, W, 3) as the recogniser sees it, with its labels."""
    grey = picture if picture.ndim == 2 else np.asarray(picture, np.float32).mean(axis=2)
    seen = np.rint(as_seen(grey) * 255).astype(np.uint8)
    at = UNKNOWN if plane is None else PLANES.index(plane)
    return Item(seen, CONTENTS.index(content), at, UNKNOWN if skull is None else int(skull))


def gather(split: str, simulated: bool = True) -> RecognitionSet:
    """All pictures of 'train', 'val' or 'test'; people are in one of them, and BraTS, the source left out, is 'external'.

    Raises InputError where a data set is missing (``LGG_DATA``, ``T1CE_DATA``, ``NO_TUMOUR_DATA``, ``BRATS_DATA``).
    """
    if split == "external":
        return RecognitionSet.of([("BraTS", each) for each in _brats()])
    rng = np.random.default_rng([2025, ("train", "val", "test").index(split)])
    slices = _lgg_slices(split)
    sources: dict[str, Iterable[Item]] = {
        "LGG": _lgg(slices),
        "T1-CE": _t1ce(split),
        "People without a tumour": _people(split),
        "Ljubljana, T1 and T2": _other_sequences(split),
        **_made_up([record.image() for record in slices[::7]], split, rng),
    }
    if simulated and split != "test":
        sources |= {"LGG, T2 made of T1 and FLAIR": _lgg_t2(slices), "Simulated": _simulated(split)}
    return RecognitionSet.of([(source, each) for source, items in sources.items() for each in items])


def _lgg_slices(split: str) -> list[Slice]:
    table = read_split().set_index("patient")["split"]
    records = [record for record in lgg.records(lgg.find_root(None)) if table.get(record.patient) == split]
    return [record for record in records if not has_few_levels(record.image())]


def _lgg(slices: Sequence[Slice]) -> Iterator[Item]:
    for records in by_patient(slices).values():
        images = np.stack([record.image() for record in records]).astype(np.float32)
        span = np.ptp(images[..., 1]) or 1.0
        for channel, content in enumerate(("pre", "flair", "post")):
            if channel != 1 and np.abs(images[..., channel] - images[..., 1]).mean() < SAME * span:
                continue
            planes = images[..., channel]
            yield from (item(plane, content, "axial", True) for plane in planes)  # type: ignore[arg-type]
            yield from (item(_peeled(plane), content, "axial", False) for plane in planes[::3])  # type: ignore[arg-type]
            yield from _cut(planes, HEAD_MM / len(planes) / LGG_PIXEL, content, True)  # type: ignore[arg-type]


def _lgg_t2(slices: Sequence[Slice]) -> Iterator[Item]:
    """T2-weighted slices made of T1 and FLAIR, for the LGG set has none and the people with real ones are few."""
    for records in by_patient(slices).values():
        images = np.stack([record.image() for record in records]).astype(np.float32)
        if np.abs(images[..., 0] - images[..., 1]).mean() < SAME * (np.ptp(images[..., 1]) or 1.0):
            continue
        planes = np.stack([_as_t2(image[..., 0], image[..., 1]) for image in images])
        yield from (item(plane, "t2", "axial", True) for plane in planes)
        yield from (item(_peeled(plane), "t2", "axial", False) for plane in planes[::3])
        yield from _cut(planes, HEAD_MM / len(planes) / LGG_PIXEL, "t2", True)


def _as_t2(t1: FloatImage, flair: FloatImage) -> FloatImage:
    """Much as T2 shows a slice (H, W): FLAIR, less where T1 is bright, and fluid, dark in both, bright inside the head."""
    t1, flair = (
        np.clip((p - np.percentile(p, 1)) / max(float(np.ptp(np.percentile(p, (1, 99)))), 1.0), 0, 1.2) for p in (t1, flair)
    )
    head = _head(flair)
    inside = np.clip(cv2.distanceTransform(head, cv2.DIST_L2, 5) / SCALP - 0.7, 0, 1)
    tissue_t1, tissue_flair = (float(np.median(p[head > 0])) if head.any() else 1.0 for p in (t1, flair))
    fluid = np.sqrt(np.clip(1 - t1 / max(0.8 * tissue_t1, 0.01), 0, 1) * np.clip(1 - flair / max(tissue_flair, 0.01), 0, 1))
    return np.asarray(0.75 * flair * (1.15 - 0.45 * t1) + 1.1 * inside * cv2.GaussianBlur(fluid, (0, 0), 0.7), np.float32)


def _head(plane: FloatImage) -> npt.NDArray[np.uint8]:
    """1 within the outline of a head (H, W)."""
    bright = (cv2.GaussianBlur(plane, (0, 0), 3) > 0.1 * float(np.percentile(plane, 99))).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8)), np.uint8)


def _peeled(plane: FloatImage) -> FloatImage:
    """A slice without the outer rim of its head, much as without skull and scalp."""
    return np.where(cv2.distanceTransform(_head(plane), cv2.DIST_L2, 5) > RIM, plane, 0).astype(np.float32)


def _t1ce(split: str) -> Iterator[Item]:
    table = t1ce.table()
    for record in t1ce.records(t1ce.find_root(None)):
        if table.loc[record.number, "split"] == split:
            yield item(record.image()[..., 0], "post", record.plane, True)  # type: ignore[arg-type]


def _people(split: str) -> Iterator[Item]:
    for records in by_patient(no_tumour.split()[split]).values():
        with_skull = not records[0].patient.startswith("mslesseg")
        for volume in sorted({record.volume for record in records}):
            planes = np.stack([record.image()[..., 0] for record in records if record.volume == volume]).astype(np.float32)
            yield from (item(plane, "flair", "axial", with_skull) for plane in planes if not has_few_levels(plane[..., None]))
            yield from _cut(planes, 4.0 if with_skull else 5.0, "flair", with_skull)


def _other_sequences(split: str) -> Iterator[Item]:
    root = no_tumour.find_root(None) / "other_sequences"
    people = {record.patient for record in no_tumour.split()[split]}
    table = pd.read_csv(root / "slices.csv")
    contents: dict[str, Content] = {"T1": "pre", "T2": "t2"}
    for row in table.itertuples():
        source, number, *_ = str(row.file).split("_")
        if f"{source}_p{number}" in people:
            plane = read_grey(root / str(row.file)).slices[0, ..., 0]
            yield item(plane, contents[str(row.sequence)], "axial", True)


def _brats() -> Iterator[Item]:
    import os

    for record in brats.records(Path(os.environ["BRATS_DATA"])):
        image = record.image()
        for channel, content in enumerate(("pre", "flair", "post")):
            yield item(image[..., channel], content, "axial", False)  # type: ignore[arg-type]


def _cut(planes: Picture, step: float, content: Content, skull: bool) -> Iterator[Item]:
    """Coronal and sagittal cuts through axial slices (N, H, W) from foot to head, `step` pixels apart, heads up."""
    volume = ndimage.zoom(np.asarray(planes, np.float32)[::-1], (step, 1, 1), order=1)
    for row in _spread(volume.mean(axis=(0, 2))):
        yield item(volume[:, row], content, "coronal", skull)
    for column in _spread(volume.mean(axis=(0, 1))):
        yield item(volume[:, :, column], content, "sagittal", skull)


def _spread(brightness: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """Places evenly through where the head is, by the mean brightness at each."""
    shown = np.flatnonzero(brightness > 0.5 * brightness.mean())
    return shown[(np.linspace(0.1, 0.9, CUTS) * (len(shown) - 1)).astype(int)] if len(shown) else shown


def _simulated(split: str) -> Iterator[Item]:
    """Heads of the simulator in three planes and all sequences, half of them without skull."""
    for kind, count in SIMULATED:
        seeds = range(100, 100 + count) if split == "train" else range(900, 900 + max(1, count // 8))
        for seed in seeds:
            sequences, brain = Patient(kind, seed).examine_all(1.8)
            rng = np.random.default_rng(seed)
            if kind == "none":
                del sequences["post"]  # hardly another picture than the one before contrast
            for content, volume in sequences.items():
                yield from _slices_of(volume, brain, content, rng)


def _slices_of(
    volume: npt.NDArray[np.float32], brain: npt.NDArray[np.float32], content: Content, rng: np.random.Generator
) -> Iterator[Item]:
    for axis, plane in enumerate(PLANES):
        for place in rng.integers(round(0.2 * volume.shape[axis]), round(0.85 * volume.shape[axis]), 8):
            cut, inside = (np.take(each, place, axis=axis).T[::-1] for each in (volume, brain))
            skull = bool(rng.random() < 0.6)
            shown = cut if skull else cut * inside
            noisy = np.hypot(shown + rng.normal(0, 0.02, cut.shape), rng.normal(0, 0.02, cut.shape))
            if inside.mean() > 0.05:
                yield item(noisy, content, plane, skull)


def _made_up(slices: Sequence[Picture], split: str, rng: np.random.Generator) -> dict[str, list[Item]]:
    """Pictures that are no slice, by kind."""
    count = MADE_UP if split == "train" else MADE_UP // 8
    kinds: dict[str, tuple[Callable[..., Any], Content]] = {
        "CT-like": (outliers.ct_like, "none"),
        "Ultrasound-like": (outliers.speckle, "none"),
        "Photograph-like": (outliers.leaves, "none"),
        "Negative": (outliers.inverted, "other"),
        "Film": (outliers.film, "none"),
        "Screenshot": (outliers.screenshot, "none"),
        "Panes": (lambda _, rng: outliers.panes([slices[int(at)] for at in rng.integers(0, len(slices), 20)], rng), "panes"),
    }
    return {
        name: [item(make(slices[int(rng.integers(len(slices)))], rng), content) for _ in range(count)]
        for name, (make, content) in kinds.items()
    }
