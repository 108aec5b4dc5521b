"""Tables for papers."""

from __future__ import annotations

import pandas as pd


def latex_table(table: pd.DataFrame, caption: str, is_best: pd.Series[bool]) -> str:
    """A table for booktabs, without its index, its cells escaped.

    Args:
        caption: as LaTeX.
        is_best: rows that are set in bold, indexed like the table.
    """
    bold = pd.DataFrame({name: is_best.map({True: "textbf:--rwrap;", False: ""}) for name in table.columns}, table.index)
    style = table.style.hide(axis="index").format(str, escape="latex").format_index(escape="latex", axis="columns")
    styled = style.apply(lambda _: bold, axis=None)
    return str(styled.to_latex(column_format="l" * len(table.columns), hrules=True, caption=caption))
