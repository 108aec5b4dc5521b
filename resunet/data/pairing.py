"""Which files of a folder or a zip file belong together: images and their masks, by their names alone.

Two layouts are known, below whatever folders come first: images/ and masks/ with equal names, or <patient>/<patient>_<n>.tif
beside <patient>_<n>_mask.tif, as Kaggle ships the LGG set.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from resunet.errors import InputError
from resunet.reading.names import MASK_SUFFIX, NUMBERED, is_litter, may_be_image, stem_of

IMAGES, MASKS = "images", "masks"


class Pair(NamedTuple):
    """An image and its mask by their names in a folder or an archive."""

    patient: str
    number: int
    image: str
    mask: str


@dataclass
class Pairing:
    """The pairs by patient and number, and the names of what was left out."""

    pairs: list[Pair] = field(default_factory=list)
    without_mask: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """A sentence for each kind of file that was left out."""
        kinds = (
            (self.without_mask, "without a mask", "image", "images"),
            (self.without_image, "without an image", "mask", "masks"),
            (self.repeated, "that the data hold twice", "image", "images"),
        )
        return [
            f"Left out: {len(names):,} {one if len(names) == 1 else many} {why}"
            + (f" ({names[0]})." if len(names) == 1 else f" (the first is {names[0]}).")
            for names, why, one, many in kinds
            if names
        ]


def pair_files(names: Iterable[str], identity: Callable[[str], object]) -> Pairing:
    """Pair the files below a folder or in an archive.

    Args:
        names: paths with slashes or backslashes; litter and what is no image by its name do not count.
        identity: equal for two names only where the files are the same.

    Raises:
        InputError: two different images are the same slice of the same patient.
    """
    paths = {PurePosixPath(name.replace("\\", "/")): name for name in sorted(names)}
    paths = {path: name for path, name in paths.items() if path.name and not is_litter(path) and may_be_image(path.name)}
    folders = {part.lower() for path in paths for part in path.parts[:-1]}
    pairing = _in_two_folders(paths) if folders >= {IMAGES, MASKS} else _side_by_side(paths)
    _drop_repeated(pairing, identity)
    return pairing


def _in_two_folders(paths: dict[PurePosixPath, str]) -> Pairing:
    """images/ and masks/, below one folder or several, as train/ and test/; the patients of several are named with theirs."""
    images: dict[tuple[PurePosixPath, str], PurePosixPath] = {}
    masks: dict[tuple[PurePosixPath, str], PurePosixPath] = {}
    pairing = Pairing()
    for path in paths:
        for kind, group in ((IMAGES, images), (MASKS, masks)):
            folders = [part.lower() for part in path.parts[:-1]]
            if kind in folders:
                at = folders.index(kind)
                inside = PurePosixPath(*path.parts[at + 1 :])
                place = PurePosixPath(*path.parts[:at]), _composed(inside.with_name(stem_of(inside.name)))
                if place in group:
                    raise InputError(f"{group[place]} and {path} have the same name; number them apart.")
                group[place] = path
                break
    roots = {root for root, _ in images}
    used = set[tuple[PurePosixPath, str]]()
    for position, ((root, key), image) in enumerate(images.items()):
        partner = next((name for name in (key, f"{key}{MASK_SUFFIX}") if (root, name) in masks), None)
        if partner is None:
            pairing.without_mask.append(paths[image])
            continue
        used.add((root, partner))
        inside = PurePosixPath(key)
        numbered = NUMBERED.match(inside.name)
        patient = inside.parent.as_posix() if len(inside.parts) > 1 else numbered["patient"] if numbered else inside.name
        patient = f"{root.name}/{patient}" if len(roots) > 1 else patient
        number = int(numbered["number"]) if numbered else position
        pairing.pairs.append(Pair(patient, number, paths[image], paths[masks[root, partner]]))
    pairing.without_image = [paths[mask] for place, mask in masks.items() if place not in used]
    return pairing


def _composed(path: PurePosixPath) -> str:
    """Equal for names that look equal: macOS writes an umlaut as two characters, others as one."""
    return unicodedata.normalize("NFC", str(path))


def _side_by_side(paths: dict[PurePosixPath, str]) -> Pairing:
    """Images with <name>_mask beside them; the patient is the folder, or in a folder of several patients the name's start."""
    stems = {PurePosixPath(_composed(path.with_name(stem_of(path.name)))): path for path in paths}
    starts: dict[PurePosixPath, set[str]] = {}
    for stem in stems:
        if numbered := NUMBERED.match(stem.name.removesuffix(MASK_SUFFIX)):
            starts.setdefault(stem.parent, set()).add(numbered["patient"])
    pairing = Pairing()
    for stem, path in stems.items():
        if stem.name.endswith(MASK_SUFFIX):
            image = stem.with_name(stem.name.removesuffix(MASK_SUFFIX)) if stem.name != MASK_SUFFIX else None
            if image not in stems:
                pairing.without_image.append(paths[path])
            continue
        mask = stems.get(stem.with_name(stem.name + MASK_SUFFIX))
        numbered = NUMBERED.match(stem.name)
        if mask is None:
            pairing.without_mask.append(paths[path])
        elif numbered is not None:
            of_several = len(starts[stem.parent]) > 1
            patient = numbered["patient"] if of_several or not path.parent.name else path.parent.name
            pairing.pairs.append(Pair(patient, int(numbered["number"]), paths[path], paths[mask]))
    return pairing


def _drop_repeated(pairing: Pairing, identity: Callable[[str], object]) -> None:
    """Sort the pairs, and keep one of each that is there twice. Raises InputError where the two are not the same."""
    kept: dict[tuple[str, int], Pair] = {}
    contents: dict[object, Pair] = {}
    for pair in sorted(pairing.pairs, key=lambda pair: (pair.image.count("/"), pair)):
        other = kept.get((pair.patient, pair.number))
        same = identity(pair.image), identity(pair.mask), PurePosixPath(pair.image).parts[-2:]
        if same in contents:
            pairing.repeated.append(pair.image)
        elif other is not None:
            raise InputError(
                f"{other.image} and {pair.image} are both slice {pair.number} of {pair.patient}; number them apart."
            )
        else:
            kept[pair.patient, pair.number] = contents[same] = pair
    pairing.pairs = sorted(kept.values())
