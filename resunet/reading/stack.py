"""One patient's numbered slices, as the LGG set stores them, as a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resunet.errors import InputError
from resunet.reading.scan import Scan, single_slice
from resunet.reading.volume_scan import Volume

# Columns run to the patient's left and rows to the back, as radiologists look at slices.
AS_SHOWN = np.diag([-1.0, -1.0, 1.0, 1.0])


def stacked(name: str, scans: Sequence[Scan]) -> Volume:
    """Slices from foot to head as one volume (W, H, N, 3); the files say neither how large voxels are nor how they lie.

    Raises:
        InputError: a file holds several slices, or they differ in size.
    """
    slices = [single_slice(scan) for scan in scans]
    if len({plane.shape for plane in slices}) > 1:
        raise InputError(f"The slices of {name} differ in size; give those of one patient.")
    notes = dict.fromkeys(note for scan in scans for note in scan.notes)
    return Volume(name, np.stack(slices).transpose(2, 1, 0, 3), AS_SHOWN, None, False, tuple(notes))
