"""The examinations of NIfTI files, which their names tell apart."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final, Literal

from resunet.examination.explanations import left_out, no_flair
from resunet.examination.patient_files import Examination
from resunet.examination.source import CHANNEL_LIST, Source
from resunet.reading.names import stem_of
from resunet.reading.sequences import ROLES, SEQUENCE_WORDS, WHAT_IS_MASKED, Role, SequenceName, read_name
from resunet.reading.stored_file import StoredFile

MASK: Final = "mask"


def nifti_examinations(
    sources: Sequence[Source], channel_names: Mapping[PurePosixPath, Mapping[int, SequenceName]]
) -> list[Examination]:
    """The examinations of NIfTI files."""
    cases: dict[tuple[PurePosixPath, str], list[Source]] = {}
    for source in sources:
        if source.kind == "nifti":
            cases.setdefault((source.place, source.reading.case), []).append(source)
    _merge_series_numbers(cases)
    _merge_masks(cases)
    examinations = []
    for (place, case), members in cases.items():
        named = [_with_channel_name(source, members, channel_names.get(place, {})) for source in members]
        for repeat, group in _repeats(named).items():
            words = "_".join(filter(None, (case or place.name, repeat)))
            examinations.append(_examination(words, group))
    return examinations


def _merge_series_numbers(cases: dict[tuple[PurePosixPath, str], list[Source]]) -> None:
    """Make one case of files such as 3_T1 and 5_FLAIR: where each number has one file of another sequence, it counts series."""
    places: dict[PurePosixPath, list[str]] = {}
    for place, case in cases:
        if re.fullmatch(r"0?[1-9]\d{0,3}", case):  # 001 and 002 count patients
            places.setdefault(place, []).append(case)
    for place, numbers in places.items():
        members = [source for number in numbers for source in cases[place, number]]
        sequences = [source.reading.sequence for source in members]
        if len(numbers) == len(members) > 1 and None not in sequences and len(set(sequences)) == len(sequences):
            for number in numbers:
                del cases[place, number]
            cases.setdefault((place, ""), []).extend(members)


def _merge_masks(cases: dict[tuple[PurePosixPath, str], list[Source]]) -> None:
    """Give a mask that is named after what it outlines, as x_tumour_seg, to the case x, where no x_tumour is imaged."""
    for place, case in list(cases):
        shorter = WHAT_IS_MASKED.sub("", case)
        members = cases[place, case]
        if shorter != case and (place, shorter) in cases and all(source.reading.is_mask for source in members):
            cases[place, shorter] += cases.pop((place, case))


def _with_channel_name(source: Source, members: Sequence[Source], names: Mapping[int, SequenceName]) -> Source:
    """nnU-Net's number replaced by the sequence that the data set says it is; a case of one channel is a FLAIR."""
    channel = source.reading.channel
    if channel is None:
        return source
    several = sum(other.reading.channel is not None for other in members) > 1
    sequence = names.get(channel) if several else names.get(channel, "flair")
    return replace(source, reading=source.reading._replace(sequence=sequence))


def channel_names(files: Sequence[StoredFile]) -> dict[PurePosixPath, dict[int, SequenceName]]:
    """What nnU-Net's dataset.json says about its channels, by folder."""
    names: dict[PurePosixPath, dict[int, SequenceName]] = {}
    for file in files:
        if file.path.name == CHANNEL_LIST:
            try:
                content = json.loads(file.read())
                channels = content.get("channel_names") or content.get("modality") or {}
                read = {int(number): read_name(str(words).replace(" ", "_")).sequence for number, words in channels.items()}
            except (ValueError, AttributeError, UnicodeDecodeError):
                continue
            names[file.path.parent] = {number: sequence for number, sequence in read.items() if sequence}
    return names


def _repeats(members: Sequence[Source]) -> dict[str, list[Source]]:
    """The files of a case in one group; in several, by what their names say beside it, where a sequence is there twice.

    Files that say nothing but the case's name, as a.nii and a.nii.gz, are one group each.
    """
    if len(members) > 1 and all(_is_silent(source) for source in members):
        return {str(number): [source] for number, source in enumerate(members)}
    claims = Counter(_claim(source) for source in members)
    if max(claims.values()) == 1 or not any(source.reading.repeat for source in members):
        return {"": list(members)}
    groups: dict[str, list[Source]] = {}
    for source in members:
        groups.setdefault(source.reading.repeat, []).append(source)
    return groups


def _is_silent(source: Source) -> bool:
    reading = source.reading
    return reading.sequence is None and reading.channel is None and not reading.is_mask


def _claim(source: Source) -> str:
    """What a NIfTI file says to be: a sequence, the mask or a channel; without a word it is the FLAIR."""
    reading = source.reading
    if reading.is_mask:
        return MASK
    return reading.sequence or ("flair" if reading.channel is None else f"channel {reading.channel}")


def _examination(name: str, members: Sequence[Source]) -> Examination:
    """Of the NIfTI files of one case."""
    by_claim: dict[str, Source] = {}
    problem = ""
    for source in members:
        claim = _claim(source)
        if claim in by_claim and claim not in ("other", "t2"):
            what = SEQUENCE_WORDS.get(claim, claim)  # type: ignore[call-overload]
            problem = f"{by_claim[claim].name} and {source.name} are both the {what} of {name}; assign them with --case."
        by_claim.setdefault(claim, source)
    if len(members) == 1:
        name = stem_of(members[0].files[0].path.name)
    sequences: dict[Role, Source] = {role: by_claim[role] for role in ROLES if role in by_claim}
    others = [source for claim, source in by_claim.items() if claim not in (*ROLES, MASK)]
    return examination_of(name, sequences, by_claim.get(MASK), others, problem)


def examination_of(
    name: str, sequences: Mapping[Role, Source], truth: Source | None, others: Sequence[Source], problem: str = ""
) -> Examination:
    """Of one patient's sequences by what they are: without FLAIR, contrast-enhanced T1 stands alone.

    Args:
        others: files of no sequence that the networks know.
        problem: what is wrong already.
    """
    if "flair" in sequences:
        return Examination(name, sequences, truth, problem)
    if "post" in sequences:
        unused = [source.name for source in (*sequences.values(), *others) if source is not sequences["post"]]
        return Examination(name, {"post": sequences["post"]}, truth, problem, left_out(unused))
    problem = problem or no_flair([*sequences.values(), *others], truth)
    return Examination(name, sequences or ({"flair": others[0]} if others else {}), truth, problem)


def nifti_roles(sources: Sequence[Source], files: Sequence[StoredFile]) -> dict[str, Role | Literal["mask"]]:
    """By the names of NIfTI files what each is, where they say enough; two may claim to be the same."""
    roles: dict[str, Role | Literal["mask"]] = {
        source.files[0].name: role for source in sources for role in ROLES if source.reading.sequence == role
    }
    for examination in nifti_examinations(sources, channel_names(files)):
        if not examination.problem:
            roles |= {source.files[0].name: role for role, source in examination.sequences.items()}
        if examination.truth:
            roles[examination.truth.files[0].name] = MASK
    return roles
