"""DICOM series: many files, or one of many frames, to a volume sorted by position."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from resunet.errors import InputError
from resunet.reading.formats.dicom import decode_frames, pixel_spacing, plane_groups, read_dataset, stated
from resunet.reading.scan import SPACINGS, Array, FloatArray, check_finite, check_size
from resunet.reading.sequences import SequenceName, sequence_of_header
from resunet.reading.volume_scan import Volume

UNEVEN = 0.05  # share of the distance between slices by which distances may differ
QUANTA = (1.0, 0.5, 0.1)  # millimetres to which positions may be rounded
MISSING = 1.5  # times the usual distance from which a slice is missing
PARALLEL = 1e-3  # by which direction cosines may differ
SAME_PLACE = 0.01  # millimetres
FARTHEST = 1e5  # millimetres from the scanner's origin
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Series(NamedTuple):
    """Files of one series by name.

    Attributes:
        description: what the files say.
        frames: of the first file.
        study: the study's UID and the patient's identifier, empty where the files do not say.
        sequence: what description, contrast agent and times say it is.
        uid: the series' own, with the patient's identifier; empty where the files do not say.
        instances: UIDs of the files, as far as they say them.
    """

    description: str
    files: tuple[str, ...]
    frames: int = 1
    study: str = ""
    sequence: SequenceName | None = None
    uid: str = ""
    instances: tuple[str, ...] = ()


class Frame(NamedTuple):
    """One slice: where its first pixel lies and how its rows and columns run (LPS, mm), its pixels (H, W), where it is from."""

    position: FloatArray
    orientation: FloatArray
    pixels: Array
    dataset: Any
    number: int


def find_series(files: Mapping[str, bytes]) -> list[Series]:
    """The DICOM series among files of one folder, in the order of their first file.

    What is no DICOM image, is damaged, or does not say where it lies, is left out. Files without a series' UID are one series
    where size, direction and description are equal.
    """
    import pydicom

    headers: dict[tuple[str, ...], Series] = {}
    members: dict[tuple[str, ...], list[str]] = {}
    instances: dict[tuple[str, ...], list[str]] = {}
    for name, content in files.items():
        try:
            dataset = pydicom.dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)
            if "Rows" in dataset and _is_placed(dataset):
                key = _series_key(dataset)
                headers.setdefault(key, _header(dataset))
                members.setdefault(key, []).append(name)
                instances.setdefault(key, []).append(str(dataset.get("SOPInstanceUID") or ""))
        except Exception:  # whatever a damaged header makes its library raise: the file is said to be damaged when it is read
            continue
    return [
        series._replace(files=tuple(members[key]), instances=tuple(filter(None, instances[key])))
        for key, series in headers.items()
    ]


def _header(dataset: Any) -> Series:
    """What a file says of its series. Raises what pydicom raises."""
    return Series(
        str(dataset.get("SeriesDescription") or ""),
        (),
        int(dataset.get("NumberOfFrames") or 1),
        " ".join(filter(None, (str(dataset.get("StudyInstanceUID") or ""), str(dataset.get("PatientID") or "")))),
        sequence_of_header(dataset),
        " ".join(_series_key(dataset)) if dataset.get("SeriesInstanceUID") else "",
    )


def _is_placed(dataset: Any) -> bool:
    """Whether frames say where they lie, or at least in which order."""
    if "PerFrameFunctionalGroupsSequence" in dataset or "ImagePositionPatient" in dataset:
        return True
    return "SliceLocation" in dataset and "ImageOrientationPatient" in dataset


def _series_key(dataset: Any) -> tuple[str, ...]:
    """Equal for the files of one series."""
    if dataset.get("SeriesInstanceUID"):
        return (str(dataset.SeriesInstanceUID), str(dataset.get("PatientID") or ""))
    alike = ("Rows", "Columns", "SeriesNumber", "SeriesDescription", "EchoTime", "StudyInstanceUID", "PatientID")
    orientation = stated([dataset], "ImageOrientationPatient")
    direction = "" if orientation is None else str(np.round(orientation, 2).tolist())
    return (*(str(dataset.get(element)) for element in alike), direction)


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
    notes = _notes_on_headers(first.dataset)
    frames = _without_copies(frames, notes)
    step = _even_step(np.array([frame.position for frame in frames]), normal, name, notes)
    spacing = pixel_spacing(first.dataset)
    if spacing is None or not all(SPACINGS[0] <= side <= SPACINGS[1] for side in spacing):
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
        notes=tuple(notes),
        modality=str(first.dataset.get("Modality") or "") or None,
        sources=tuple((frame.dataset, frame.number) for frame in frames),
    )


def _frames(content: bytes, name: str) -> Iterator[Frame]:
    dataset = read_dataset(content, name)
    pixels = decode_frames(dataset, name)
    if pixels.shape[3] != 1:
        raise InputError(f"{name} is in colour; a series of grey slices is expected.")
    for number, plane in enumerate(pixels[..., 0]):
        groups = plane_groups(dataset, number)
        position = stated(groups, "ImagePositionPatient")
        orientation = stated(groups, "ImageOrientationPatient")
        if position is None and orientation is not None and dataset.get("SliceLocation") is not None:
            position = np.cross(orientation[:3], orientation[3:]) * float(dataset.SliceLocation)
        if position is None or orientation is None or not _is_place(position, orientation):
            raise InputError(f"{name} does not say where its slices lie; export the series again, or give NIfTI.")
        yield Frame(position, orientation, plane, dataset, number)


def _is_place(position: FloatArray, orientation: FloatArray) -> bool:
    """Whether these are millimetres within a building, and two directions at right angles."""
    if not (np.isfinite(position).all() and np.isfinite(orientation).all() and np.abs(position).max() < FARTHEST):
        return False
    return bool(np.linalg.norm(np.cross(orientation[:3], orientation[3:])) > 0.5)


def _notes_on_headers(dataset: Any) -> list[str]:
    """Sentences on what the headers of a series lack."""
    notes = []
    if not dataset.get("SeriesInstanceUID"):
        notes.append("The files do not say that they are one series; equal sizes and directions were taken for one.")
    if dataset.get("ImagePositionPatient") is None and "PerFrameFunctionalGroupsSequence" not in dataset:
        notes.append("The files state no position; slices are in the order of their locations, the mask's place is relative.")
    return notes


def _without_copies(frames: list[Frame], notes: list[str]) -> list[Frame]:
    """Sorted frames without those that repeat the one before, position and pixels; `notes` say so."""
    kept = frames[:1]
    for frame in frames[1:]:
        is_there = np.abs(frame.position - kept[-1].position).max() < SAME_PLACE
        if not (is_there and np.array_equal(frame.pixels, kept[-1].pixels)):
            kept.append(frame)
    if len(kept) < len(frames):
        notes.append(f"{len(frames) - len(kept)} of {len(frames)} slices were copies of others and were left out.")
    return kept


def _even_step(positions: FloatArray, normal: FloatArray, name: str, notes: list[str]) -> float | None:
    """Millimetres between slices along their normal; None for a single one.

    Rounded positions (N, 3) are taken for even, and `notes` say so. Raises InputError where they are uneven.
    """
    places = positions @ normal
    steps = np.diff(places)
    if not steps.size:
        return None
    if steps.min() < SAME_PLACE:
        raise InputError(f"{name} holds two slices at the same position; give one series, without doubled files.")
    step, usual = float(steps.mean()), float(np.median(steps))
    if steps.max() - steps.min() <= UNEVEN * usual:
        return step
    quantum = next((size for size in QUANTA if np.abs(positions / size - np.round(positions / size)).max() < 1e-6), 0.0)
    off = places - places[0] - step * np.arange(len(places))
    if np.abs(off).max() > quantum * np.abs(normal).sum() or steps.max() >= MISSING * usual:
        raise InputError(
            f"The slices of {name} lie {steps.min():.1f} to {steps.max():.1f} mm apart; one is missing, or the series is "
            "uneven: export it again."
        )
    notes.append(f"Positions are rounded to {quantum:g} mm; slices are taken to lie {step:.2f} mm apart.")
    return step
