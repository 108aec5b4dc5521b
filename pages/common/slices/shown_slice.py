"""What the viewer shows: one slice, where it came from, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resunet.reading.scan import BoolMask, Plane
from resunet.reading.sequences import SequenceName


@dataclass(frozen=True)
class ShownSlice:
    """One slice on screen.

    Attributes:
        title: what to call it.
        digest: SHA-256 of the file it came from.
        number: its index in that file.
        image: (H, W, 3) as stored.
        truth: (H, W) bool where the mask is known.
        simulated: drawn by the simulator.
        patient: whose slice of the LGG set it is, where it is one.
        spacing: millimetres between rows and columns, where the file says so.
        notes: sentences about what was done to the file.
        stated, plane: sequence and plane, where the file says so.
        sides: letters of the patient's sides at the left and right edge, where they are known.
        link: query parameters that lead back to it, where it can be had again.
    """

    title: str
    digest: str
    number: int
    image: npt.NDArray[np.generic]
    truth: BoolMask | None = None
    simulated: bool = False
    patient: str | None = None
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    stated: SequenceName | None = None
    plane: Plane | None = None
    sides: str = ""
    link: dict[str, str] | None = None

    @property
    def key(self) -> str:
        """What tells this slice from every other."""
        return f"{self.digest}-{self.number}"
