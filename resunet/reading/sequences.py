"""Which sequence a file holds and whose it is, as its name or its DICOM header says.

Names follow BIDS, BraTS, nnU-Net, TCGA and EGD, or are those of a hospital's export, with the sequence before or behind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from resunet.reading.names import stem_of

Role = Literal["pre", "flair", "post"]
SequenceName = Literal["pre", "flair", "post", "t2", "other"]
ROLES: tuple[Role, ...] = get_args(Role)  # in the order of the channels
SEQUENCE_WORDS: dict[str, str] = {  # by SequenceName
    "pre": "pre-contrast T1",
    "flair": "FLAIR",
    "post": "contrast-enhanced T1",
    "t2": "T2",
    "other": "another sequence",
}

FLAIR = re.compile(r"(t2w?)?(flair|fla|flr|tirm)(w|3d|2d|ax|tra)?|t2f|darkfluid|dark")
POST = re.compile(r"t1w?i?(ce|c|gd|gad|gado|gadolinium|post\w*|km|cm|contrast\w*|enhanced)|(ce|gd|cont\w*)t1w?")
T1 = re.compile(r"t1w?i?(n|native|pre\w*)?|mprage|mpr|f?spgr|bravo")
T2 = re.compile(r"t2w?i?(tse|fse)?")
OTHER = re.compile(
    r"dwi|adc|swi|swan|pdw?|bold|asl|dti|fa|md|cb[vf]|mtt|perf\w*|pwi|tof|mra|trace\w*|b0|b\d{3,4}|loc\w*|sub(tr\w*)?|m(in)?ip|map|scout|survey|ct|pet|phase"
    r"|stir|gre|t2star|t2s|star|ciss|fiesta|psir|mtr|qsm"
)
MAPS = re.compile(r"adc|sub(tr\w*)?|m(in)?ip|map|dwi|dti|seg\w*")  # which may be made of a sequence that is named, too
CONTRAST = re.compile(r"ce|gd|gad|gado|gadolinium|gadovist|dotarem|post\w*|contrast\w*|km|cm|enhanced")
UNENHANCED = re.compile(r"pre\w*|nativ\w*|non|without|wo|plain|unenhanced")
MASK_WORDS = re.compile(
    r"seg|dseg|segmentation|mask|msk|labels?|roi|truth|groundtruth|gt|annotation|glistrboost|manuallycorrected"
)
WHAT_IS_MASKED = re.compile(r"[_-](tumou?r|lesions?|whole_?tumou?r|wt)$", re.IGNORECASE)
ANATOMY = re.compile(r"brain|parenchyma")
# Planes, techniques and steps of preparation, which say nothing about the sequence.
FILLER = re.compile(
    r"ax\w{0,4}|tra\w{0,9}|sag\w{0,6}|cor|coronal|obl\w*|[23]d|t?se|tfe|fse|tfl|t?ir|fs|fatsat|iso\w*|mri?|w|we|weighted|reg\w*"
    r"|coreg\w*|brain|bet|\w*stripped|n4|bias\w*|corrected|resampled|\d+mm|mni|raw|space|cube|vista|blade|propeller|thin"
    r"|fluid|acq|img|image|volume|vol|scan|data"
)
# What an image was registered to says nothing about what it is: T2_to_FLAIR, space-FLAIR_T2w, T1 reg to T2.
IN_SPACE_OF = re.compile(
    r"[_\-. ]+space-[A-Za-z0-9]+|(?<=[A-Za-z0-9])[_\-. ]+(?:(?:co)?reg[a-z]*[_\-. ]+)?(?:to|2|in|on|onto)[_\-. ]+"
    r"(?:t1\w*|t2\w*|flair|mni\w*)(?=$|[_\-. ])",
    re.IGNORECASE,
)
CHANNELS = 16  # that a case of nnU-Net may have; larger numbers are dates and times
BIDS = re.compile(r"(?P<case>sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?)_(?P<entities>([a-z]+-[A-Za-z0-9]+_)*)[A-Za-z0-9]+")
NNUNET = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
TOKEN = re.compile(r"[A-Za-z0-9]+")
SEPARATORS = "_-+. ()"
DERIVED = re.compile(r"adc|sub\w*|m(in)?ip|projection image|fa|cb[vf]|mtt|ttp|perfusion\w*|phase( map)?")  # in ImageType
LONG_INVERSION = 1500  # milliseconds from which an inversion recovery suppresses fluid, not fat
LONG_ECHO = 60  # milliseconds from which an image is T2-weighted


class NameReading(NamedTuple):
    """What a file name says.

    Attributes:
        case: the part that names the patient's examination; empty where the folder does.
        sequence: None where the name does not say.
        is_mask: whether it is a true mask.
        repeat: what tells repeats of a sequence apart, as a run or a point in time.
        channel: the number in nnU-Net's names, whose meaning the data set alone knows.
    """

    case: str
    sequence: SequenceName | None = None
    is_mask: bool = False
    repeat: str = ""
    channel: int | None = None


def read_name(name: str) -> NameReading:
    """What the name of a file (without folders) says."""
    stem = stem_of(name)
    stem = IN_SPACE_OF.sub("", stem)
    if match := BIDS.fullmatch(stem):
        words = [word.lower() for word in TOKEN.findall(stem[len(match["case"]) :])]
        others = [part for part in match["entities"].split("_") if not part.startswith("ce-")]
        return NameReading(match["case"], *_meaning(words), "_".join(filter(None, others)))
    match = NNUNET.fullmatch(stem)
    if match and int(match["channel"]) < CHANNELS and not read_name(f"{match['case']}.nii").sequence:
        return NameReading(match["case"], channel=int(match["channel"]))
    tokens = list(TOKEN.finditer(stem))
    first, behind = _known_run([token[0].lower() for token in tokens])
    if first == behind:
        return NameReading(stem)
    sequence, is_mask = _meaning([token[0].lower() for token in tokens[first:behind]])
    before = stem[: tokens[first].start()].rstrip(SEPARATORS)
    after = stem[tokens[behind - 1].end() :].strip(SEPARATORS)
    if sequence is None and not is_mask and (before or after):
        return NameReading(stem)  # nothing but fillers: they are part of the name
    return NameReading(before, sequence, is_mask, after) if before else NameReading(after, sequence, is_mask)


def _known_run(words: Sequence[str]) -> tuple[int, int]:
    """Where the last run of words that tell a sequence, with fillers, starts and ends; the whole name where it is fillers."""
    known = [_is_known(words, position) for position in range(len(words))]
    telling = [
        position for position, word in enumerate(words) if known[position] and not (FILLER.fullmatch(word) or _modifies(word))
    ]
    if not telling:
        only_words = all(known) and len(words) > 0
        alone = len(words) == 1 and only_words and _modifies(words[0])  # pre.nii.gz, post.nii.gz
        return (0, len(words)) if alone or (only_words and all(map(FILLER.fullmatch, words))) else (0, 0)
    first = behind = telling[-1]
    while first > 0 and known[first - 1]:
        first -= 1
    while behind < len(words) and known[behind]:
        behind += 1
    return first, behind


def _is_known(words: Sequence[str], position: int) -> bool:
    word = words[position]
    if word == "c":  # T1+C, but not patient C
        return position > 0 and T1.fullmatch(words[position - 1]) is not None
    return any(pattern.fullmatch(word) for pattern in (FLAIR, POST, T1, T2, OTHER, CONTRAST, UNENHANCED, MASK_WORDS, FILLER))


def _modifies(word: str) -> bool:
    return bool(CONTRAST.fullmatch(word) or UNENHANCED.fullmatch(word)) or word == "c"


def _meaning(words: Sequence[str]) -> tuple[SequenceName | None, bool]:
    """The sequence that words name together, and whether they name a mask."""

    def any_of(pattern: re.Pattern[str]) -> bool:
        return any(pattern.fullmatch(word) for word in words)

    if any_of(MASK_WORDS):
        return ("other", False) if any_of(ANATOMY) else (None, True)  # a mask of the brain is no tumour
    named = any_of(FLAIR) and not any_of(MAPS)
    if any_of(OTHER) and not named:
        return "other", False
    is_t1 = any_of(T1) or any_of(POST)
    if any_of(FLAIR) and not (is_t1 and not any_of(T2)):  # "T1 FLAIR" is T1-weighted
        return "flair", False
    if any_of(POST) or (is_t1 and (any_of(CONTRAST) or "c" in words) and not any_of(UNENHANCED)):
        return "post", False
    if is_t1:
        return "pre", False
    if any_of(T2):
        return "t2", False
    if len(words) == 1 and any_of(CONTRAST):
        return "post", False
    return ("pre", False) if len(words) == 1 and any_of(UNENHANCED) else (None, False)


def sequence_of_header(dataset: Any) -> SequenceName | None:
    """What a DICOM header says: its description, else contrast agent and times; None where it does not say.

    Args:
        dataset: a pydicom Dataset.
    """
    if str(dataset.get("Modality") or "MR") != "MR":
        return None  # a screenshot of a series repeats its description
    if any(DERIVED.fullmatch(str(word).lower()) for word in _values(dataset.get("ImageType"))):
        return "other"
    for element in ("SeriesDescription", "ProtocolName", "SequenceName"):
        text = IN_SPACE_OF.sub("", str(dataset.get(element) or ""))
        words = [word.lower() for word in TOKEN.findall(text)]
        sequence = _meaning(words)[0]
        if sequence == "pre" and _agent(dataset):
            return "post"
        if sequence is not None:
            return sequence
    echo = _milliseconds(dataset, "EchoTime")
    inversion = _milliseconds(dataset, "InversionTime")
    if echo is None:
        return None
    if inversion is not None and inversion >= LONG_INVERSION and echo >= LONG_ECHO:
        return "flair"
    if echo >= LONG_ECHO:
        return "t2" if inversion is None or inversion == 0 else "other"
    repetition = _milliseconds(dataset, "RepetitionTime")
    if echo < 30 and repetition is not None and 0 < repetition < 1000:
        return "post" if _agent(dataset) else "pre"
    return None


def _values(element: Any) -> Sequence[Any]:
    """The values of an element of several; none where it is not there."""
    return [] if element is None else [element] if isinstance(element, str) else list(element)


def _agent(dataset: Any) -> bool:
    agent = str(dataset.get("ContrastBolusAgent") or "").strip().lower()
    return agent not in ("", "no", "none", "n", "without")


def _milliseconds(dataset: Any, element: str) -> float | None:
    try:
        return float(dataset.get(element))
    except (TypeError, ValueError):
        return None
