"""What stands where a verdict would: why there is none, the picture, and a person's choice to judge it all the same."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.common import predictions
from pages.common.messages import escape_markdown
from resunet.charts.overlay import Picture
from resunet.inference.triage import Triage
from resunet.inference.verdict import ASKED, not_judged
from resunet.reading.sequences import SequenceName

UNJUDGED_PICTURE = 480  # pixels, longer side of the picture
JUDGED_AS: dict[SequenceName, str] = {"flair": "FLAIR", "post": "contrast-enhanced T1"}


def show_not_judged(triage: Triage, key: str, picture: Picture, caption: str, notes: Sequence[str] = ()) -> None:
    """The headline with its reason, the way out, the picture.

    Args:
        key: what the person's choice is kept under.
    """
    st.header(not_judged(triage.reason).headline, anchor=False)
    for note in (*notes, *triage.notes):
        st.caption(escape_markdown(note))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("If it is one after all:", width="content")
        for sequence, words in JUDGED_AS.items():
            st.button(f"Judge it as {words}", key=f"judge_{sequence}", on_click=predictions.ask, args=(key, sequence))
    st.image(picture, caption=escape_markdown(caption))


def asked_badge(key: str) -> None:
    """That a person decided what this shows, and the way back."""
    st.badge(ASKED, icon=":material/warning:", color="red", help="It looks like something else. Do not rely on the verdict.")
    st.button("Undo", key="judge_undo", on_click=predictions.ask, args=(key, None), type="tertiary")
