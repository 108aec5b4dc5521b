"""The data of a chart as a table, and tables as CSV that a spreadsheet may open."""

from __future__ import annotations

import csv
import re
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")  # as spreadsheets read the start of a cell, full width too

BYTE_ORDER_MARK = "\ufeff"


def chart_table(figure: go.Figure) -> pd.DataFrame:
    """One row per point: series, x, y and text where the chart has them, low and high where it draws intervals.

    Where it draws them both ways, they are x_low, x_high, y_low and y_high. What is hidden, or drawn without saying anything
    under the pointer, is no data.
    """
    tables = [_trace_table(trace) for trace in figure.data if trace.visible is not False and trace.hoverinfo != "skip"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _trace_table(trace: Any) -> pd.DataFrame:
    values = {name: _column(getattr(trace, name, None)) for name in ("x", "y", "text")}
    table = pd.DataFrame({name: column for name, column in values.items() if column is not None})
    table.insert(0, "series", trace.name)
    errors = {axis: getattr(trace, f"error_{axis}", None) for axis in ("x", "y")}
    drawn = {axis: error for axis, error in errors.items() if error is not None and error.array is not None}
    for axis, error in drawn.items():
        high = np.asarray(error.array, float)
        low = high if error.arrayminus is None else np.asarray(error.arrayminus, float)
        centre = table[axis].to_numpy(float)
        prefix = f"{axis}_" if len(drawn) == 2 else ""
        table[f"{prefix}low"], table[f"{prefix}high"] = centre - low, centre + high
    return table


def _column(values: Any) -> list[Any] | None:
    return None if values is None or isinstance(values, str) else list(values)


def safe_csv(table: pd.DataFrame) -> str:
    """CSV text in which no cell is taken for a formula: such text is led by an apostrophe (OWASP, CSV injection).

    Text is quoted, so that a spreadsheet that splits at semicolons does not make two cells of one, and a byte order mark leads,
    without which Excel takes UTF-8 for another encoding.
    """
    return BYTE_ORDER_MARK + table.map(escape_formula).rename(columns=escape_formula).to_csv(
        index=False, quoting=csv.QUOTE_NONNUMERIC
    )


def escape_formula(cell: Any) -> Any:
    """The cell, led by an apostrophe where it is text that a spreadsheet would take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell
