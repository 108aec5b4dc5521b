"""The examinations of DICOM series, which their headers tell apart."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from resunet.examination.explanations import left_out, no_flair
from resunet.examination.patient_files import Examination
from resunet.examination.source import Source
from resunet.reading.names import stem_of
from resunet.reading.sequences import Role


def dicom_examinations(sources: Sequence[Source]) -> list[Examination]:
    """The examinations of DICOM series: one per FLAIR of a study, or, without a FLAIR, one per series that says nothing."""
    studies: dict[str, list[Source]] = {}
    for source in sources:
        if source.kind == "dicom":
            studies.setdefault(source.study or source.place.as_posix(), []).append(source)
    examinations = []
    for study in studies.values():
        mains = [source for source in study if source.reading.sequence == "flair"]
        silent = [source for source in study if source.reading.sequence is None]
        examinations += [of_series(source, study) for source in mains or silent]
        others = [source for source in study if source not in silent]
        enhanced = [source for source in others if source.reading.sequence == "post"]
        if not mains and enhanced:
            examinations.append(of_series(max(enhanced, key=lambda source: source.slices), study))
        elif not mains and others:
            name = _series_name(others)
            examinations.append(Examination(name, {"flair": others[0]}, problem=no_flair(others, None)))
    in_folder = Counter((examination.name, examination.main.place) for examination in examinations)
    return [
        replace(examination, name=f"{examination.name}_{words}")
        if in_folder[examination.name, examination.main.place] > 1 and (words := _words_of(examination.main))
        else examination
        for examination in examinations
    ]


def of_series(source: Source, study: Sequence[Source]) -> Examination:
    """A series as FLAIR, with the T1 series of its study as channels; contrast-enhanced T1 alone; of others, the problem."""
    others = [other for other in study if other is not source and other.reading.sequence != "flair"]
    if source.reading.sequence is None:
        return Examination(_series_name([source]), {"flair": source})
    if source.reading.sequence == "post":
        return Examination(_series_name([source]), {"post": source}, notes=left_out([other.name for other in others]))
    if source.reading.sequence != "flair":
        return Examination(_series_name([source]), {"flair": source}, problem=no_flair([source], None))
    channels = _channels_beside(source, others)
    notes = left_out([other.name for other in others if other not in channels.values()])
    name = _series_name([source, *channels.values()])
    return Examination(name, {"flair": source, **channels}, notes=notes)


def _channels_beside(flair: Source, study: Sequence[Source]) -> dict[Role, Source]:
    """The T1 series of a study that has the number of slices nearest to FLAIR's, before and after contrast."""
    channels: dict[Role, Source] = {}
    for role in ("pre", "post"):
        candidates = [source for source in study if source.reading.sequence == role]
        if candidates:
            channels[role] = min(candidates, key=lambda source: abs(source.slices - flair.slices))  # type: ignore[index]
    return channels


def _series_name(used: Sequence[Source]) -> str:
    """The folder of a series, or of all series of a case; of a single file its name."""
    if len(used[0].files) == 1:
        return stem_of(used[0].files[0].path.name)
    folder = PurePosixPath(os.path.commonpath([str(source.place) for source in used]))
    return folder.name or _words_of(used[0]) or "series"


def _words_of(source: Source) -> str:
    return "_".join(re.findall(r"\w+", source.description))
