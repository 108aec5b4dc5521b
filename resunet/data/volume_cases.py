"""Whole volumes with true masks: which NIfTI files of a folder or an archive are a patient's, by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from resunet.data.case import WORDS, Role, assemble, case_and_role, is_truth, truth_on
from resunet.errors import InputError
from resunet.reading.names import is_litter, stem_of
from resunet.reading.readers import read_volume
from resunet.reading.scan import BoolMask
from resunet.reading.volume_scan import Volume

NIFTI = (".nii", ".nii.gz")
IMAGES, MASKS = ("images", "imagesTr", "imagesTs"), ("masks", "labels", "labelsTr", "labelsTs")
LAYOUT = (
    "<case>_flair.nii.gz beside <case>_mask.nii.gz (or _seg), <case>_t1 and <case>_t1ce where there are any, or images/ and "
    "masks/ with equal names"
)


@dataclass(frozen=True)
class VolumeCase:
    """One patient's sequences and true mask, wherever the files lie; each is read when it is asked for.

    Attributes:
        name: what to call it, unlike any other's of the same data.
        roles: the sequences' files by role, FLAIR among them.
        mask: the true mask's file.
        read: a file's name to its voxels; raises InputError.
    """

    name: str
    roles: Mapping[Role, str]
    mask: str
    read: Callable[[str], Volume]

    def volume(self) -> Volume:
        """(I, J, K, 3) on FLAIR's grid. Raises InputError."""
        return assemble(self.name, {role: self.read(file) for role, file in self.roles.items()})

    def truth(self, volume: Volume) -> BoolMask:
        """The mask as axial slices (D, H, W). Raises InputError where it does not lie on the volume's grid."""
        return truth_on(volume, self.read(self.mask))


def find_cases(names: Iterable[str], read: Callable[[str], Volume]) -> list[VolumeCase]:
    """The cases among files below a folder or in an archive that have a FLAIR and a mask, by name.

    Raises:
        InputError: two files claim to be the same sequence, or the mask, of a case.
    """
    roles: dict[tuple[PurePosixPath, str], dict[Role, str]] = {}
    masks: dict[tuple[PurePosixPath, str], str] = {}
    for name in sorted(names):
        path = PurePosixPath(name.replace("\\", "/"))
        if not path.name.lower().endswith(NIFTI) or is_litter(path):
            continue
        case, role = case_and_role(path.name)
        folder = path.parent.parent if path.parent.name in (*IMAGES, *MASKS) else path.parent
        if path.parent.name in MASKS or is_truth(path.name):
            _claim(masks, (folder, case), name, "mask")
        elif role is not None or case == stem_of(path.name):  # a name without an ending is that of a FLAIR
            _claim(roles.setdefault((folder, case), {}), role or "flair", name, WORDS[role or "flair"])
    complete = [place for place, files in roles.items() if "flair" in files and place in masks]
    several = len({case for _, case in complete}) < len(complete)
    return [
        VolumeCase(f"{folder.name}/{case}" if several else case, roles[folder, case], masks[folder, case], read)
        for folder, case in complete
    ]


def _claim(files: dict[Any, str], key: object, name: str, what: str) -> None:
    if key in files:
        raise InputError(f"{files[key]} and {name} are both the {what} of one case; give each case a name of its own.")
    files[key] = name


def cases_in(folder: Path) -> list[VolumeCase]:
    """The cases below a folder, as `find_cases`; none where its NIfTI files are single slices. Raises InputError."""
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.nii*"))]
    cases = find_cases(names, lambda name: read_volume(folder / name, name))
    return cases if are_volumes(cases) else []


def are_volumes(cases: list[VolumeCase]) -> bool:
    """Whether the first case has more than one slice. Raises InputError where it cannot be read."""
    return bool(cases) and min(cases[0].read(cases[0].roles["flair"]).shape) > 1
