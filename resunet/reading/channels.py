"""One patient's sequences as one volume of three channels on FLAIR's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from resunet.errors import InputError
from resunet.reading.scan import NO_SPACING, ONE_CHANNEL, SPACINGS, Array, BoolMask, foreground, spread_channel
from resunet.reading.sequences import ROLES, SEQUENCE_WORDS, Role
from resunet.reading.volume_scan import Volume

GRID_TOLERANCE = 1e-3  # millimetres by which the corners of equal grids may differ
FEW_LABELS = 16
PARTLY = 0.9  # share of FLAIR's voxels that another sequence covers, under which it is said
MASK_TOLERANCE = 0.1  # millimetres by which the corners of an image and its mask may differ


def truth_on(volume: Volume, mask: Volume) -> BoolMask:
    """A mask volume as axial slices (D, H, W) of another volume, in whatever order it is stored.

    Raises InputError where the two do not lie at the same place.
    """
    same_shape = mask.axial_shape == volume.axial_shape
    if not same_shape or np.abs(mask.corners - volume.corners).max() > MASK_TOLERANCE or mask.voxels.shape[3] != 1:
        raise InputError(f"{mask.name} lies on another grid than the FLAIR; give a mask of the same size and place.")
    return foreground(mask.axial()[..., 0], mask.name)


def assemble(name: str, volumes: Mapping[Role, Volume]) -> Volume:
    """The case as one volume (I, J, K, 3) on FLAIR's grid: pre-contrast, FLAIR, post-contrast.

    Others are resampled onto that grid; FLAIR stands in for what is missing, as in the data set that the models saw. Without
    FLAIR, post-contrast T1 is all three, for the models that know it alone.

    Raises:
        InputError: there is neither, a volume is a map of labels or in colour, or two do not overlap.
    """
    if "flair" not in volumes and "post" not in volumes:
        raise InputError(f"{name} has no FLAIR, which the networks need; give it as flair=FILE.")
    flair = volumes.get("flair") or volumes["post"]
    notes = list[str]()
    if flair.sides is not None and not all(SPACINGS[0] <= side <= SPACINGS[1] for side in flair.sides):
        flair = replace(flair, sides=None)
        notes = [NO_SPACING]
    for volume in volumes.values():
        _check_is_image(volume)
        notes += volume.notes
    if "flair" not in volumes:
        return replace(flair, name=name, voxels=spread_channel(flair.voxels[..., :1]), notes=tuple(dict.fromkeys(notes)))
    if flair.voxels.shape[3] == 3:
        return replace(flair, name=name, notes=tuple(dict.fromkeys(notes)))
    channels: list[Array] = []
    for role in ROLES:
        if role in volumes:
            channels.append(_on_grid_of(flair, volumes[role], notes))
        else:
            channels.append(flair.voxels[..., 0])
    missing = [SEQUENCE_WORDS[role] for role in ROLES if role not in volumes]
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
    covered = voxels > outside
    if not covered.any():
        raise InputError(f"{other.name} and {flair.name} do not overlap in space; are they of one examination?")
    notes.append(f"{other.name} was resampled onto the grid of {flair.name}.")
    axis = int(np.argmax(np.abs(flair.affine[2, :3] / np.linalg.norm(flair.affine[:3, :3], axis=0))))  # from foot to head
    others = tuple(side for side in range(3) if side != axis)
    in_slices = np.asarray(covered.any(axis=others))
    if not in_slices.all():
        from_foot = in_slices if flair.affine[2, axis] > 0 else in_slices[::-1]
        first, last = np.flatnonzero(from_foot)[[0, -1]] + 1
        notes.append(
            f"{other.name} covers slices {first} to {last} of {len(in_slices)} alone; FLAIR stands in for it in the others."
        )
        shape = [len(in_slices) if side == axis else 1 for side in range(3)]
        voxels = np.where(in_slices.reshape(shape), voxels, flair.voxels[..., 0])
        covered |= ~in_slices.reshape(shape)
    share = float(covered.mean())
    if share < PARTLY:
        notes.append(f"{other.name} covers {share:.0%} of what {flair.name} shows; the rest of it is dark.")
    return np.where(covered, voxels, outside + 1)


def _is_same_grid(flair: Volume, other: Volume) -> bool:
    if not (flair.is_oriented and other.is_oriented):
        return True
    return bool(np.abs(flair.corners - other.corners).max() < GRID_TOLERANCE)
