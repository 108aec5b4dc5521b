"""What is to be segmented: slices, stacks, cases of several NIfTI files, DICOM series, found among files and folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from resunet.data.case import Role, case_and_role, group_cases
from resunet.data.stack import numbered_slices
from resunet.errors import InputError
from resunet.reading.formats.dicom import looks_like_dicom
from resunet.reading.names import MASK, is_litter, may_be_image, stem_of
from resunet.reading.readers import find_dicom_series

NIFTI = (".nii", ".nii.gz")
SIGNATURE = 132  # bytes that tell DICOM from other formats


@dataclass(frozen=True)
class Item:
    """One input: a file of one slice or several, a case's NIfTI files, a DICOM series, or a patient's numbered slices.

    Attributes:
        path: of the file, of a case that of its FLAIR, of a series that of its first file.
        name: what its outputs start with, where no other input has that name.
        roles: the files of a case; empty for other inputs.
        series: the files of a series; empty for other inputs.
        stack: the slices of one patient from foot to head; empty for other inputs.
    """

    path: Path
    name: str
    roles: Mapping[Role, Path] = field(default_factory=dict)
    series: tuple[Path, ...] = ()
    stack: tuple[Path, ...] = ()

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def files(self) -> list[Path]:
        """All of its files."""
        return [*self.roles.values(), *self.series, *self.stack] or [self.path]

    @property
    def is_volume(self) -> bool:
        """Whether its slices are neighbours, so that the volume model outlines it and the mask is written on its grid."""
        return bool(self.roles or self.series or self.stack)


def image_files(images: Sequence[Path]) -> list[Path]:
    """The files named, and the images in the folders named, masks left out; of folders without images, those below them."""
    files: list[Path] = []
    for path in images:
        if not path.is_dir():
            files.append(path)
            continue
        inside = _images_in(path.iterdir()) or _images_in(path.rglob("*"))
        if not inside:
            raise InputError(f"The folder {path} holds no image file.")
        files += inside
    return list(dict.fromkeys(files))


def _images_in(paths: Iterable[Path]) -> list[Path]:
    """Those that are images by their names and no masks."""
    files = [file for file in sorted(paths) if file.is_file() and may_be_image(file.name)]
    return [file for file in files if not is_litter(PurePosixPath(file.name)) and not stem_of(file.name).endswith(MASK)]


def items_of(files: Sequence[Path]) -> list[Item]:
    """Files of one case together, as their names say, and those of one DICOM series, as they say themselves.

    What belongs to such a case without being a sequence is left out.
    """
    items, taken = [], set[Path]()
    for case, roles in group_cases(files).items():
        items.append(Item(roles["flair"], case, roles))
        folder = roles["flair"].parent
        taken |= {file for file in files if file.parent == folder and case_and_role(file.name)[0] == case}
    for series in _series_of([file for file in files if file not in taken]):
        items.append(series)
        taken |= set(series.series)
    for patient in _patients_of([file for file in files if file not in taken]):
        items.append(patient)
        taken |= set(patient.stack)
    for file in files:
        if file not in taken:
            is_volume = file.name.lower().endswith(NIFTI)
            items.append(Item(file, stem_of(file.name), {"flair": file} if is_volume else {}))
    order = {file: position for position, file in enumerate(files)}
    return sorted(items, key=lambda item: order[item.path])


def _series_of(files: Sequence[Path]) -> list[Item]:
    """DICOM series of several files in one folder, or of one file with several frames; named by folder and description."""
    candidates: dict[Path, dict[str, bytes]] = {}
    for file in files:
        if file.is_file() and looks_like_dicom(_start_of(file)):
            candidates.setdefault(file.parent, {})[file.name] = file.read_bytes()
    items = []
    for folder, contents in candidates.items():
        found = [series for series in find_dicom_series(contents) if len(series.files) > 1 or series.frames > 1]
        for series in found:
            paths = tuple(folder / name for name in series.files)
            words = "_".join(re.findall(r"\w+", series.description))
            name = stem_of(paths[0].name) if len(paths) == 1 else folder.resolve().name
            items.append(Item(paths[0], f"{name}_{words}" if len(found) > 1 and words else name, series=paths))
    return items


def _patients_of(files: Sequence[Path]) -> list[Item]:
    """Folders of the LGG set: a patient's numbered slices in a folder that has the patient's name."""
    folders: dict[Path, list[str]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file.name)
    items = []
    for folder, names in folders.items():
        slices = numbered_slices(names).get(folder.resolve().name, [])
        if len(slices) > 1:
            stack = tuple(folder / name for name in slices)
            items.append(Item(stack[0], folder.resolve().name, stack=stack))
    return items


def _start_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(SIGNATURE)
