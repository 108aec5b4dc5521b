"""One patient's sequences, read as a volume or a picture, and the true mask where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from resunet.errors import InputError
from resunet.examination.source import LOCAL, Source
from resunet.reading.channels import assemble, truth_on
from resunet.reading.scan import BoolMask, Scan, mask_of
from resunet.reading.sequences import Role
from resunet.reading.stored_file import Decoder, StoredFile
from resunet.reading.volume_scan import Volume

LAYOUT = (
    "<case>_flair.nii.gz beside <case>_mask.nii.gz (or _seg), <case>_t1 and <case>_t1ce where there are any, or images/ and "
    "masks/ with equal names"
)


@dataclass(frozen=True)
class Examination:
    """One patient's sequences, and the true mask where there is one.

    Attributes:
        name: unlike that of any other examination sorted with it.
        sequences: by what they are; a picture counts as FLAIR.
        truth: a NIfTI file, or as many masks as there are slices.
        problem: a sentence where the files do not say enough; nothing can be read then.
        notes: sentences on what was left out.
    """

    name: str
    sequences: Mapping[Role, Source] = field(default_factory=dict)
    truth: Source | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> Source:
        """FLAIR, else contrast-enhanced T1, else the first source there is."""
        known = self.sequences.get("flair") or self.sequences.get("post")
        return known or next(iter(self.sequences.values()), None) or self.truth  # type: ignore[return-value]

    @property
    def files(self) -> list[StoredFile]:
        """All files but the truth's, FLAIR's first."""
        others = [source for source in self.sequences.values() if source is not self.main]
        return [file for source in (self.main, *others) for file in source.files]

    @property
    def is_volume(self) -> bool:
        """Whether its slices are neighbours, so that the volume model outlines it and the mask lies on its grid."""
        return self.main.kind != "picture"

    @property
    def key(self) -> tuple[str, ...]:
        """Equal keys mean equal voxels."""
        return tuple(f"{role} {file.digest}" for role, source in self.sequences.items() for file in source.files)

    def ignoring_stated_sequence(self) -> Examination:
        """The same for a person who says what it shows: what the file's name or header states counts no longer."""
        return replace(self, problem="", sequences={"flair": self.main}) if len(self.sequences) == 1 else self

    def volume(self, decoder: Decoder = LOCAL) -> Volume:
        """(I, J, K, 3) on FLAIR's grid, or contrast-enhanced T1 three times where there is no FLAIR. Raises InputError."""
        if self.problem:
            raise InputError(self.problem)
        volume = assemble(self.name, {role: source.volume(decoder) for role, source in self.sequences.items()})
        return replace(volume, notes=(*volume.notes, *self.notes))

    def scan(self, decoder: Decoder = LOCAL) -> Scan:
        """The slices of a picture. Raises InputError."""
        return decoder.read(self.main.files[0].read(), self.main.files[0].path.name)

    def true_mask(self, volume: Volume, decoder: Decoder = LOCAL) -> BoolMask:
        """The true mask as axial slices (D, H, W). Raises InputError where it does not lie on the volume's grid."""
        if self.truth is None:
            raise InputError(f"{self.name} has no mask; {LAYOUT} are expected.")
        if self.truth.kind == "slices":
            masks = [mask_of(decoder.read(file.read(), file.path.name)) for file in self.truth.files]
            if len({mask.shape for mask in masks} | {volume.axial_shape[1:]}) > 1 or len(masks) != volume.axial_depth:
                raise InputError("The masks differ in size from the slices; give those of the same patient.")
            return np.stack(masks)
        return truth_on(volume, self.truth.volume(decoder))
