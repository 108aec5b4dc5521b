"""A mask as DICOM Segmentation that refers to the series it was made from."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

from resunet import __version__
from resunet.errors import InputError
from resunet.reading.scan import BoolMask
from resunet.reading.volume_scan import Volume

LABEL = "Tumour (FLAIR abnormality)"
MAKER = "ResUNet (research use only)"
SERIES_NUMBER = 9001  # far above what scanners number their own


def write_segmentation(volume: Volume, mask: BoolMask, model: str) -> bytes:
    """The mask (I, J, K) of a series as a DICOM SEG of one segment.

    Args:
        model: what made it, for the object's account of its algorithm.

    Raises:
        InputError: the series lacks something that such an object must repeat.
    """
    import highdicom
    from highdicom import seg
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(model, codes.DCM.ArtificialIntelligence, __version__)
    segment = seg.SegmentDescription(
        1,
        LABEL,
        codes.SCT.MorphologicallyAbnormalStructure,
        codes.SCT.Neoplasm,
        seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm,
    )
    images, planes = _in_source_order(volume, mask)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = seg.Segmentation(
                images,
                planes,
                seg.SegmentationTypeValues.BINARY,
                [segment],
                highdicom.UID(),
                SERIES_NUMBER,
                highdicom.UID(),
                1,
                MAKER,
                model,
                __version__,
                "none",
                series_description=f"{LABEL}, {model}",
            )
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{volume.name} lacks what a DICOM segmentation must repeat ({error}); give NIfTI.") from None
    buffer = io.BytesIO()
    result.save_as(buffer)
    return buffer.getvalue()


def _in_source_order(volume: Volume, mask: BoolMask) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    """The images that the series consists of, and the mask's planes (N, H, W) in their order."""
    planes = mask.transpose(2, 1, 0).astype(np.uint8)
    images = list({id(dataset): dataset for dataset, _ in volume.sources}.values())
    if len(images) == 1:
        planes = planes[np.argsort([number for _, number in volume.sources])]
    return images, planes
