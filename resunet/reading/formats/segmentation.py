"""A mask as DICOM Segmentation that refers to the series it was made from."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from resunet import __version__
from resunet.errors import InputError
from resunet.reading.scan import BoolMask
from resunet.reading.volume_scan import Volume

LABELS = {"flair": "Tumour (FLAIR abnormality)"}  # by the sequence that was outlined
LABEL = "Tumour"
MAKER = "ResUNet (research use only)"
SERIES_NUMBER = 9001  # far above what scanners number their own
# Of type 2 in the standard, and identifiers that cannot be empty.
MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
MUST_BE_STATED = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


def write_segmentation(volume: Volume, mask: BoolMask, model: str, sequence: str = "") -> bytes:
    """The mask (I, J, K) of a series as a DICOM SEG of one segment.

    Args:
        model: what made it, for the object's account of its algorithm.
        sequence: what was outlined, as `resunet.reading.sequences.SequenceName`, for the segment's label.

    Raises:
        InputError: the series lacks something that such an object must repeat.
    """
    import highdicom
    from highdicom import seg

    label = LABELS.get(sequence, LABEL)
    images, planes = _in_source_order(volume, mask)
    _complete(images)
    _state_spacing(images, volume)
    try:
        with warnings.catch_warnings(), _silenced("highdicom"):
            warnings.simplefilter("ignore")
            result = seg.Segmentation(
                images,
                planes,
                seg.SegmentationTypeValues.BINARY,
                [_segment(label, model)],
                highdicom.UID(),
                SERIES_NUMBER,
                highdicom.UID(),
                1,
                MAKER,
                model,
                __version__,
                "none",
                omit_empty_frames=bool(mask.any()),
                series_description=f"{label}, {model}",
            )
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"The headers of {volume.name} do not allow for a DICOM segmentation; take the mask as NIfTI."
        ) from error
    buffer = io.BytesIO()
    result.save_as(buffer)
    return buffer.getvalue()


def _segment(label: str, model: str) -> Any:
    """The object's account of its one segment."""
    import highdicom
    from highdicom import seg
    from pydicom.sr.codedict import codes

    return seg.SegmentDescription(
        1,
        label,
        codes.SCT.MorphologicallyAbnormalStructure,
        codes.SCT.Neoplasm,
        seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        highdicom.AlgorithmIdentificationSequence(model, codes.DCM.ArtificialIntelligence, __version__),
    )


def _in_source_order(volume: Volume, mask: BoolMask) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    """The images that the series consists of, and the mask's planes (N, H, W) in their order."""
    planes = mask.transpose(2, 1, 0).astype(np.uint8)
    images = list({id(dataset): dataset for dataset, _ in volume.sources}.values())
    if len(images) == 1:
        planes = planes[np.argsort([number for _, number in volume.sources])]
    return images, planes


def _complete(images: list[Any]) -> None:
    """Give the data sets of a series what a segmentation must repeat and anonymisers take out.

    Elements that may be empty become so; missing and malformed identifiers become new ones, those of study, series and frame
    of reference the same for all images. A place that was told from the location of slices gets a frame of reference of its
    own.
    """
    from pydicom.uid import generate_uid

    common = {element: generate_uid() for element in MUST_BE_STATED}
    lost = any(image.get("ImagePositionPatient") is None and "SliceLocation" in image for image in images)
    for image in images:
        for element in MAY_BE_EMPTY:
            if element not in image:
                setattr(image, element, "")
        for element, uid in common.items():
            if not _is_valid(image.get(element)):
                setattr(image, element, uid)
        if not _is_valid(image.get("SOPInstanceUID")):
            image.SOPInstanceUID = generate_uid()
        if lost:
            normal = np.cross(image.ImageOrientationPatient[:3], image.ImageOrientationPatient[3:])
            image.ImagePositionPatient = [float(part) for part in normal * float(image.SliceLocation)]
            image.FrameOfReferenceUID = common["FrameOfReferenceUID"]


def _is_valid(uid: Any) -> bool:
    """Whether an identifier is there, and of the form and length that the standard asks for."""
    from pydicom.uid import UID

    return bool(uid) and UID(uid).is_valid


def _state_spacing(images: list[Any], volume: Volume) -> None:
    """Write the distance between slices as positions say; what some scanners write is the gap alone."""
    if volume.sides is None or volume.shape[2] == 1:
        return
    for image in images:
        groups = (*(image.get("SharedFunctionalGroupsSequence") or ()), *(image.get("PerFrameFunctionalGroupsSequence") or ()))
        measures = [place for group in groups for place in group.get("PixelMeasuresSequence") or ()]
        for place in measures or [image]:
            place.SpacingBetweenSlices = volume.sides[2]


@contextlib.contextmanager
def _silenced(library: str) -> Iterator[None]:
    """Without the library's lines in the log."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
