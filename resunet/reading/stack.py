"""One patient's numbered slices, as the LGG set stores them, as a volume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from resunet.errors import InputError
from resunet.reading.scan import Scan, single_slice
from resunet.reading.volume_scan import Volume

# Columns run to the patient's left and rows to the back, as radiologists look at slices.
AS_SHOWN = np.diag([-1.0, -1.0, 1.0, 1.0])


def stacked(name: str, scans: Sequence[Scan], numbers: Sequence[int]) -> Volume:
    """Slices from foot to head as one volume (W, H, N, 3); the files say neither how large voxels are nor how they lie.

    Args:
        numbers: of the slices, ascending; where one is left out, those on its two sides are no neighbours.

    Raises:
        InputError: a file holds several slices, or they differ in size.
    """
    slices = [single_slice(scan) for scan in scans]
    if len({plane.shape for plane in slices}) > 1:
        raise InputError(f"The slices of {name} differ in size; give those of one patient.")
    notes = list(dict.fromkeys(note for scan in scans for note in scan.notes))
    missing = [(before + 1, after - 1) for before, after in pairwise(numbers) if after > before + 1]
    if missing:
        words = [f"{first}" if first == last else f"{first} to {last}" for first, last in missing]
        notes.append(f"Slices {', '.join(words)} are missing: those around them were not taken for neighbours.")
    gaps = tuple(at for at, (before, after) in enumerate(pairwise(numbers), start=1) if after > before + 1)
    return Volume(
        name,
        np.stack(slices).transpose(2, 1, 0, 3),
        AS_SHOWN,
        None,
        False,
        tuple(notes),
        modality=next((scan.modality for scan in scans if scan.modality), None),
        gaps=gaps,
        sequence=next((scan.sequence for scan in scans if scan.sequence), None),
    )
