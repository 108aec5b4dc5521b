"""What file names say: their endings, and which files nobody put there on purpose."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

ENDINGS = (
    *(".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".npy", ".dcm", ".dicom", ".ima"),
    *(".heic", ".heif", ".hdr"),  # not read: the reader says what to give instead
)
LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}  # beside all hidden files
NUMBERED = re.compile(r"^(?P<patient>.+)_(?P<number>[0-9]{1,9})$")
PROBABILITY_SUFFIX = "_probability"  # what the name of a probability map that this package wrote ends with
MASK_SUFFIX = "_mask"  # what the name of a mask beside its image ends with


def stem_of(name: str) -> str:
    """The file name without its ending, where that is one of an image format: other dots belong to the name."""
    for ending in ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def is_litter(path: PurePosixPath) -> bool:
    """Whether a file was put there by an operating system, or is hidden."""
    return any(part in LITTER or (part.startswith(".") and part.strip(".")) for part in path.parts)


def has_image_ending(name: str) -> bool:
    """Whether a file's name ends like that of an image."""
    return stem_of(name) != name


def may_be_image(name: str) -> bool:
    """Whether a file could be an image: by its ending, or without any (or with the last number of a UID), as DICOM often is."""
    ending = PurePosixPath(name).suffix
    return has_image_ending(name) or ending == "" or ending[1:].isdigit()
