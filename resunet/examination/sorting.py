"""All examinations among files, each under a name of its own.

Folders belong to a patient's name: files of equal names in two folders are two patients'.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from resunet.examination.dicom_studies import dicom_examinations
from resunet.examination.nifti_cases import channel_names, nifti_examinations
from resunet.examination.patient_files import Examination
from resunet.examination.source import LOCAL, Source, find_sources, is_nifti_name
from resunet.reading.names import MASK_SUFFIX, stem_of
from resunet.reading.stored_file import Decoder, StoredFile


def sort_examinations(files: Iterable[StoredFile], decoder: Decoder = LOCAL) -> list[Examination]:
    """The examinations that files belong to, in the order of their first files.

    Raises InputError where a DICOM file cannot be read.
    """
    files = list(files)
    sources = find_sources(files, decoder)
    examinations = [*nifti_examinations(sources, channel_names(files)), *dicom_examinations(sources)]
    for source in sources:
        if source.kind in ("slices", "picture"):
            examinations.append(Examination(source.reading.case, {"flair": source}, truth_of_slices(source, files)))
    order = {file.name: position for position, file in enumerate(files)}
    return _distinctly_named(sorted(examinations, key=lambda examination: order[examination.main.files[0].name]))


def truth_of_slices(source: Source, files: Sequence[StoredFile]) -> Source | None:
    """The masks beside numbered slices, where each has one."""
    if source.kind != "slices":
        return None
    by_place = {(file.path.parent, stem_of(file.path.name)): file for file in files}
    masks = [by_place.get((file.path.parent, stem_of(file.path.name) + MASK_SUFFIX)) for file in source.files]
    true_masks = tuple(mask for mask in masks if mask is not None)
    return replace(source, files=true_masks) if len(true_masks) == len(masks) else None


def _distinctly_named(examinations: Sequence[Examination]) -> list[Examination]:
    """The same with names of their own: the file's, or with as many folders in front as tell them apart."""
    groups: dict[str, list[int]] = {}
    for position, examination in enumerate(examinations):
        groups.setdefault(examination.name.casefold(), []).append(position)
    named = list(examinations)
    for positions in groups.values():
        if len(positions) > 1:
            for position, name in zip(positions, _with_folders([examinations[one] for one in positions]), strict=True):
                named[position] = replace(examinations[position], name=name)
    return named


def _with_folders(examinations: Sequence[Examination]) -> list[str]:
    files = [examination.main.files[0].path for examination in examinations]
    names = [file.name for file in files]
    if len({name.casefold() for name in names}) == len(names):
        return names
    names = [examination.name for examination in examinations]
    places = [
        examination.main.place.parent if examination.main.place.name == examination.name else examination.main.place
        for examination in examinations
    ]
    deepest = max(len(place.parts) for place in places)
    for depth in range(1, deepest + 1):
        longer = ["/".join((*place.parts[-depth:], name)).lstrip("/") for place, name in zip(places, names, strict=True)]
        if len({name.casefold() for name in longer}) == len(longer):
            return longer
    return [f"{name}_{number}" for number, name in enumerate(names, start=1)]


def measurable_volumes(files: Iterable[StoredFile], decoder: Decoder = LOCAL) -> tuple[list[Examination], list[str]]:
    """The NIfTI volumes with true masks among files, and sentences on the images without mask and the masks without image.

    Two empty lists where there is no such volume, or where the first is a single slice. Raises InputError where it cannot be
    read.
    """
    nifti = sorted((file for file in files if is_nifti_name(file)), key=lambda file: file.name)
    examinations = sort_examinations(nifti, decoder)
    measurable = [examination for examination in examinations if examination.truth and examination.sequences]
    if not measurable or min(measurable[0].main.volume(decoder).shape) == 1:
        return [], []
    without_mask = [examination.name for examination in examinations if examination.truth is None]
    without_image = [examination.name for examination in examinations if not examination.sequences]
    notes = []
    for names, why in ((without_mask, "without a mask"), (without_image, "a mask without an image")):
        if names:
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            notes.append(f"Left out, {why}: {', '.join(names[:3])}{more}.")
    return measurable, notes


def nifti_below(folder: Path) -> list[StoredFile]:
    """All NIfTI files below a folder, by name."""
    return [StoredFile.on_disk(path) for path in sorted(folder.rglob("*.nii*")) if path.is_file()]
