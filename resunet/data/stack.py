"""One patient's numbered slices, as the LGG set stores them, as a volume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from resunet.data.pairing import NUMBERED
from resunet.errors import InputError
from resunet.reading.names import MASK, stem_of
from resunet.reading.scan import Scan, single_slice
from resunet.reading.volume_scan import Volume

# Columns run to the patient's left and rows to the back, as radiologists look at slices.
AS_SHOWN = np.diag([-1.0, -1.0, 1.0, 1.0])


def numbered_slices(names: Iterable[str]) -> dict[str, list[str]]:
    """File names of each patient's slices by their number, masks left out; names that have no number are nobody's."""
    patients: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        stem = stem_of(name)
        if not stem.endswith(MASK) and (match := NUMBERED.match(stem)):
            patients.setdefault(match["patient"], []).append((int(match["number"]), name))
    return {patient: [name for _, name in sorted(slices)] for patient, slices in patients.items()}


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
