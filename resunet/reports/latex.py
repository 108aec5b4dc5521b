"""Tables for papers."""

from __future__ import annotations

import pandas as pd

TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}"}


def latex_table(table: pd.DataFrame, caption: str, is_best: pd.Series[bool]) -> str:
    """A table for booktabs, without its index.

    Args:
        is_best: rows that are set in bold, indexed like the table.
    """
    rows = [
        [rf"\textbf{{{escape(cell)}}}" if is_best[number] else escape(cell) for cell in row]
        for number, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    lines = [
        r"\begin{table}",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(escape(name) for name in table.columns) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(cell: object) -> str:
    """A cell with LaTeX's special characters escaped."""
    return "".join(TEX.get(letter, letter) for letter in str(cell))
