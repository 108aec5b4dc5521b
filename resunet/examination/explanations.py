"""What is said of files that were left out or are not FLAIR."""

from __future__ import annotations

from collections.abc import Sequence

from resunet.examination.source import Source
from resunet.reading.sequences import SEQUENCE_WORDS

ASK = "if one of them is, name it with --case flair=FILE"


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    return (f"Left out, since they are no channels of the networks: {', '.join(names)}.",) if names else ()


def no_flair(sources: Sequence[Source], mask: Source | None) -> str:
    """The sentence for a case without FLAIR."""
    if not sources:
        return f"{mask.name if mask else 'The file'} is a mask by its name, and there is no image beside it."
    names = [source.name for source in sources]
    if all(source.reading.channel is not None for source in sources):
        return f"{', '.join(names)} are channels of one case, and their names do not say which is the FLAIR; {ASK}."
    if len(sources) == 1:
        return _not_flair(sources[0])
    return f"None of {', '.join(names)} is the FLAIR, which the networks need; {ASK}."


def _not_flair(source: Source) -> str:
    is_one = f"is {SEQUENCE_WORDS[source.reading.sequence]}" if source.reading.sequence else "is not FLAIR"
    origin = "description" if source.kind == "dicom" else "name"
    return f"{source.name} {is_one} by its {origin}, and the networks need FLAIR; if it is one, name it with --case flair=FILE."
