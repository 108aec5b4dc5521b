"""DICOM series: many files, or one of many frames, to a volume sorted by position."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from resunet.errors import InputError
from resunet.reading.formats.dicom import decode_frames, pixel_spacing, read_dataset
from resunet.reading.scan import Array, check_finite, check_size
from resunet.reading.sequences import SequenceName, sequence_of_header
from resunet.reading.volume_scan import Volume

FloatArray = npt.NDArray[np.float64]
UNEVEN = 0.05  # share of the distance between slices by which distances may differ
PARALLEL = 1e-3  # by which direction cosines may differ
SAME_PLACE = 0.01  # millimetres
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Series(NamedTuple):
    """Files of one series by name.

    Attributes:
        description: what the files say.
        frames: of the first file.
        study: the study's UID, empty where the files do not say.
        sequence: what description, contrast agent and times say it is.
    """

    description: str
    files: tuple[str, ...]
    frames: int = 1
    study: str = ""
    sequence: SequenceName | None = None


class Frame(NamedTuple):
    """One slice: where its first pixel lies and how its rows and columns run (LPS, mm), its pixels (H, W), where it is from."""

    position: FloatArray
    orientation: FloatArray
    pixels: Array
    dataset: Any
    number: int


def find_series(files: Mapping[str, bytes]) -> list[Series]:
    """The DICOM series among files, in the order of their first file.

    What is no DICOM image, or does not say where it lies, is left out.
    """
    import pydicom

    headers: dict[str, Any] = {}
    members: dict[str, list[str]] = {}
    for name, content in files.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)
        if "SeriesInstanceUID" in dataset and "Rows" in dataset and _is_placed(dataset):
            headers.setdefault(str(dataset.SeriesInstanceUID), dataset)
            members.setdefault(str(dataset.SeriesInstanceUID), []).append(name)
    return [
        Series(
            str(dataset.get("SeriesDescription") or ""),
            tuple(members[uid]),
            int(dataset.get("NumberOfFrames") or 1),
            str(dataset.get("StudyInstanceUID") or ""),
            sequence_of_header(dataset),
        )
        for uid, dataset in headers.items()
    ]


def read_series(files: Mapping[str, bytes], name: str) -> Volume:
    """The files of one series, or a single file of many frames, as a volume of columns x rows x slices.

    Raises:
        InputError: slices differ in size or direction, share a position, lie at uneven distances, are in colour, or do not
            say where they lie.
    """
    frames = [frame for file, content in files.items() for frame in _frames(content, file)]
    first = frames[0]
    if any(frame.pixels.shape != first.pixels.shape for frame in frames):
        raise InputError(f"The slices of {name} differ in size; give one series, without its localiser.")
    if any(np.abs(frame.orientation - first.orientation).max() > PARALLEL for frame in frames):
        raise InputError(f"The slices of {name} do not lie in parallel; give one series, without its localiser.")
    check_size(name, len(frames), first.pixels.shape[0], first.pixels.shape[1], 1)
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    frames.sort(key=lambda frame: float(frame.position @ normal))
    step = _even_step(np.array([float(frame.position @ normal) for frame in frames]), name)
    spacing = pixel_spacing(first.dataset)
    if spacing is None:
        raise InputError(f"{name} does not say how large its pixels are; export the series again.")
    thickness = step or float(first.dataset.get("SliceThickness") or 1.0)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first.orientation[:3] * spacing[1], first.orientation[3:] * spacing[0]
    affine[:3, 2], affine[:3, 3] = normal * thickness, frames[0].position
    voxels = np.stack([frame.pixels.T for frame in frames], axis=2)[..., None].astype(np.float32)
    check_finite(name, voxels)
    return Volume(
        name,
        voxels,
        LPS_TO_RAS @ affine,
        (spacing[1], spacing[0], thickness),
        modality=str(first.dataset.get("Modality") or "") or None,
        sources=tuple((frame.dataset, frame.number) for frame in frames),
    )


def _frames(content: bytes, name: str) -> Iterator[Frame]:
    dataset = read_dataset(content, name)
    pixels = decode_frames(dataset, name)
    if pixels.shape[3] != 1:
        raise InputError(f"{name} is in colour; a series of grey slices is expected.")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    for number, plane in enumerate(pixels[..., 0]):
        groups = [dataset, *(shared or ()), *([per_frame[number]] if per_frame and number < len(per_frame) else [])]
        position = _stated(groups, "ImagePositionPatient")
        orientation = _stated(groups, "ImageOrientationPatient")
        if position is None or orientation is None:
            raise InputError(f"{name} does not say where its slices lie; export the series again, or give NIfTI.")
        yield Frame(position, orientation, plane, dataset, number)


def _is_placed(dataset: Any) -> bool:
    return "ImagePositionPatient" in dataset or "PerFrameFunctionalGroupsSequence" in dataset


def _stated(groups: list[Any], element: str) -> FloatArray | None:
    """The element in the last of the groups that state it, by themselves or in their plane's sequence."""
    for group in reversed(groups):
        for place in (group, *(group.get("PlanePositionSequence") or ()), *(group.get("PlaneOrientationSequence") or ())):
            if place.get(element) is not None:
                return np.array([float(value) for value in place.get(element)])
    return None


def _even_step(places: FloatArray, name: str) -> float | None:
    """Millimetres between slices along their normal; None for a single one. Raises InputError where they are uneven."""
    steps = np.diff(places)
    if not steps.size:
        return None
    if steps.min() < SAME_PLACE:
        raise InputError(f"{name} holds two slices at the same position; give one series, without doubled files.")
    if steps.max() - steps.min() > UNEVEN * float(np.median(steps)):
        raise InputError(
            f"The slices of {name} lie {steps.min():.1f} to {steps.max():.1f} mm apart; one is missing, or the series is "
            "uneven: export it again."
        )
    return float(steps.mean())
