"""One patient's sequences as one volume of three channels on FLAIR's grid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from resunet.errors import InputError
from resunet.reading.names import stem_of
from resunet.reading.scan import NO_SPACING, ONE_CHANNEL, SPACINGS, Array, BoolMask, spread_channel
from resunet.reading.volume_scan import Volume

Role = Literal["pre", "flair", "post"]
ROLES: tuple[Role, ...] = ("pre", "flair", "post")  # in the order of the channels
WORDS: dict[Role, str] = {"pre": "pre-contrast T1", "flair": "FLAIR", "post": "post-contrast T1"}
# How file names of BraTS, of its successors and of TCGA collections end.
SUFFIXES: dict[str, Role] = {
    "flair": "flair",
    "t2f": "flair",
    "t1": "pre",
    "t1n": "pre",
    "t1ce": "post",
    "t1c": "post",
    "t1gd": "post",
}
UNUSED = ("t2", "t2w", "seg", "mask", "label")  # endings of files that belong to a case and are no channel of it
TRUTHS = ("seg", "mask", "label")  # those of masks
ENDING = re.compile(rf"(?P<case>.+?)[_-](?P<ending>{'|'.join((*SUFFIXES, *UNUSED))})", re.IGNORECASE)
ONLY_CHANNEL = re.compile(r"(?P<case>.+)_0000")  # as nnU-Net writes the first, here the only one
GRID_TOLERANCE = 1e-3  # millimetres by which the corners of equal grids may differ
FEW_LABELS = 16
MASK_TOLERANCE = 1e-2  # by which the affines of an image and its mask may differ


def case_and_role(name: str) -> tuple[str, Role | None]:
    """What a file name says: the case, and which sequence; None for one that is no channel or does not say."""
    stem = stem_of(name)
    if match := ENDING.fullmatch(stem):
        return match["case"], SUFFIXES.get(match["ending"].lower())
    if match := ONLY_CHANNEL.fullmatch(stem):
        return match["case"], "flair"
    return stem, None


def is_truth(name: str) -> bool:
    """Whether a file name says that it is a mask."""
    match = ENDING.fullmatch(stem_of(name))
    return match is not None and match["ending"].lower() in TRUTHS


def truth_on(volume: Volume, mask: Volume) -> BoolMask:
    """A mask volume as axial slices (D, H, W) of another volume. Raises InputError where the two grids differ."""
    same = mask.shape == volume.shape and np.allclose(mask.affine, volume.affine, atol=MASK_TOLERANCE)
    if not same or mask.voxels.shape[3] != 1:
        raise InputError(f"{mask.name} lies on another grid than the FLAIR; give a mask of the same size and place.")
    return np.asarray(mask.axial()[..., 0] > 0)


def group_cases(files: Sequence[Path]) -> dict[str, dict[Role, Path]]:
    """Files of a case by role, of the cases that have a FLAIR and another sequence beside it in the same folder.

    Raises:
        InputError: two files claim the same sequence of a case.
    """
    found: dict[tuple[Path, str], dict[Role, Path]] = {}
    for file in files:
        case, role = case_and_role(file.name)
        if role is None:
            continue
        roles = found.setdefault((file.parent, case), {})
        if role in roles:
            raise InputError(f"{file} and {roles[role].name} are both the {WORDS[role]} of {case}; assign them with --case.")
        roles[role] = file
    return {case: roles for (_, case), roles in found.items() if "flair" in roles and len(roles) > 1}


def assemble(name: str, volumes: Mapping[Role, Volume]) -> Volume:
    """The case as one volume (I, J, K, 3) on FLAIR's grid: pre-contrast, FLAIR, post-contrast.

    Others are resampled onto that grid; FLAIR stands in for what is missing, as in the data set that the models saw.

    Raises:
        InputError: there is no FLAIR, a volume is a map of labels or in colour, or two do not overlap.
    """
    if "flair" not in volumes:
        raise InputError(f"{name} has no FLAIR, which the networks need; give it as flair=FILE.")
    flair, notes = volumes["flair"], list[str]()
    if flair.sides is not None and not all(SPACINGS[0] <= side <= SPACINGS[1] for side in flair.sides):
        flair, notes = replace(flair, sides=None), [NO_SPACING]
    for volume in volumes.values():
        _check_is_image(volume)
        notes += volume.notes
    if flair.voxels.shape[3] == 3:
        return replace(flair, name=name, notes=tuple(dict.fromkeys(notes)))
    channels: list[Array] = []
    for role in ROLES:
        if role in volumes:
            channels.append(_on_grid_of(flair, volumes[role], notes))
        else:
            channels.append(flair.voxels[..., 0])
    missing = [WORDS[role] for role in ROLES if role not in volumes]
    if len(missing) == 2:
        notes.append(ONE_CHANNEL)
        voxels = spread_channel(flair.voxels)
    else:
        notes += [f"FLAIR stands in for the {words}, which is missing." for words in missing]
        voxels = np.stack(channels, axis=-1)
    return replace(flair, name=name, voxels=voxels, notes=tuple(dict.fromkeys(notes)))


def _check_is_image(volume: Volume) -> None:
    """Refuse maps of labels, and colours in one of several files. Raises InputError."""
    sample = volume.voxels[tuple(slice(None, None, 2 if side > 64 else 1) for side in volume.shape)]
    if not (sample == np.round(sample)).all():
        return
    levels = np.unique(sample)
    if 1 < len(levels) <= FEW_LABELS and levels[0] >= 0:
        numbers = ", ".join(f"{level:g}" for level in levels[:5])
        raise InputError(f"{volume.name} holds nothing but {numbers}, so it is a map of labels, not an image.")


def _on_grid_of(flair: Volume, other: Volume, notes: list[str]) -> Array:
    """The other volume's voxels (I, J, K) where FLAIR has its own. Raises InputError."""
    if other.voxels.shape[3] != 1:
        raise InputError(f"{other.name} has three channels; give one sequence per file, or all three in a single one.")
    if other.shape == flair.shape and _is_same_grid(flair, other):
        return other.voxels[..., 0]
    if not (flair.is_oriented and other.is_oriented):
        raise InputError(f"{other.name} and {flair.name} differ in size, and one of them does not say how the patient lies.")
    import nibabel
    from nibabel.processing import resample_from_to

    outside = float(other.voxels.min()) - 1
    resampled = resample_from_to(
        nibabel.Nifti1Image(other.voxels[..., 0], other.affine), (flair.shape, flair.affine), order=1, cval=outside
    )
    voxels = np.asarray(resampled.dataobj, dtype=np.float32)
    if not (voxels > outside).any():
        raise InputError(f"{other.name} and {flair.name} do not overlap in space; are they of one examination?")
    notes.append(f"{other.name} was resampled onto the grid of {flair.name}.")
    return np.maximum(voxels, outside + 1)


def _is_same_grid(flair: Volume, other: Volume) -> bool:
    if not (flair.is_oriented and other.is_oriented):
        return True
    corners = np.array(np.meshgrid(*((0, side) for side in flair.shape), [1])).reshape(4, -1)
    return bool(np.abs((flair.affine - other.affine) @ corners).max() < GRID_TOLERANCE)
