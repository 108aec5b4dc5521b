"""Tables that a phone shows whole: fewer columns there, their words wrapped, figures without their intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

INTERVAL = re.compile(r"\s*\[.*\]$")


def show_table(table: pd.DataFrame, key: str, on_a_phone: Mapping[str, str] | None = None, **options: Any) -> None:
    """`st.dataframe`, and in its place on a phone a table that fits.

    Args:
        on_a_phone: columns to keep there and their headings; by default all.
        options: of `st.dataframe`.
    """
    with st.container(key=f"wide_{key}"):
        st.dataframe(table, hide_index=True, key=key, **options)
    columns = on_a_phone or {column: str(column) for column in table.columns}
    words = table[list(columns)].rename(columns=columns).rename_axis(columns=None)
    for column in words.select_dtypes(exclude="number"):
        words[column] = [INTERVAL.sub("", str(cell)) for cell in words[column]]
    with st.container(key=f"narrow_{key}"):
        st.html(words.to_html(index=False, border=0, float_format="{:.4g}".format, na_rep="–"))
