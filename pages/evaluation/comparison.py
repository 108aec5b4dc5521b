"""Comparison: every measured model on the same slices, which differences are real, and what others report."""

from typing import Any

import pandas as pd
import streamlit as st

from pages.common import loaders, models, picks, study
from pages.common.chart import chart
from pages.common.messages import show_error
from pages.common.once import once
from pages.common.parts import show_parts
from resunet.charts import comparison as charts
from resunet.charts.export import safe_csv
from resunet.errors import InputError
from resunet.evaluation.compare import metric_table, paired_table, wide
from resunet.evaluation.questions import REPORTED
from resunet.evaluation.rules import LABELS
from resunet.hub import FLAGSHIP

SHOWN = ["volume_dice_mean", "volume_dice_median", "tumour_slice_dice", "precision", "recall", "empty_slice_fp_rate"]
LEVEL = 0.05  # below this p, after Holm's correction, a difference is called one


def marked(table: pd.DataFrame, paired: pd.DataFrame, best: str) -> pd.DataFrame:
    """The wide table with a column that says which rows are best or not shown to be worse."""
    p = paired.set_index("model")["p_holm"]
    words = {best: "best"} | {name: "not shown to differ" if value > LEVEL else "differs" for name, value in p.items()}
    return table.assign(**{"against the best": [words.get(name, "") for name in table["model"]]})


def table_of(summaries: dict[str, dict[str, Any]], names: list[str]) -> pd.DataFrame:
    """One row a model, one column a metric, each cell with its interval."""
    cells = wide(metric_table(summaries)).set_index("metric")
    return cells.reindex(names).rename(index=LABELS).T.rename_axis("model").reset_index()


def exports(table: pd.DataFrame) -> None:
    """The table as CSV and LaTeX."""
    with st.container(horizontal=True):
        st.download_button("Table as CSV", lambda: safe_csv(table), "comparison.csv", "text/csv", on_click="ignore")
        st.download_button("Table as LaTeX", lambda: latex(table), "comparison.tex", "text/plain", on_click="ignore")


def latex(table: pd.DataFrame) -> str:
    """A LaTeX tabular with its special characters escaped."""
    escaped = table.map(lambda cell: str(cell).replace("_", r"\_").replace("%", r"\%"))
    escaped.columns = [str(name).replace("_", r"\_") for name in table.columns]
    lines = [" & ".join(row) + r" \\" for row in [list(escaped.columns), *escaped.to_numpy().tolist()]]
    body = "\n".join([lines[0], r"\hline", *lines[1:]])
    return f"\\begin{{tabular}}{{{'l' * len(escaped.columns)}}}\n{body}\n\\end{{tabular}}\n"


def reported() -> None:
    """What others report, apart from our own figures."""
    st.subheader("Reported elsewhere", anchor=False)
    st.caption("Quoted, not measured here; other data, splits and averaging. Not comparable row by row with the table above.")
    table = pd.read_csv(REPORTED)
    st.dataframe(
        table,
        hide_index=True,
        key="reported",
        column_config={
            "system": st.column_config.TextColumn("System", pinned=True),
            "data": st.column_config.TextColumn("Data"),
            "metric": st.column_config.TextColumn("Figure"),
            "value": st.column_config.NumberColumn("Reported", format="%.4g"),
            "source": st.column_config.TextColumn("Source"),
            "note": st.column_config.TextColumn("Note", width="large"),
        },
    )


def costs(names: list[str], cost: str) -> dict[str, float]:
    """What each model costs; latency is measured on this machine when it is asked for, once a server."""
    if cost == "parameters":
        return {name: loaders.model_config(name)["parameters"] / 1e6 for name in names}
    if cost == "gflop":
        return {name: loaders.model_config(name)["gflop"] for name in names}
    there = [name for name in names if loaders.has_weights(name)]
    return {name: models.latency_ms(name, loaders.stamp(loaders.config_path(name))) for name in there}


def measured(protocol: str) -> None:
    """Our own models under one protocol."""
    questions = st.toggle("Runs that answer a question, too", key="questions", help="Other losses and other seeds of ResUNet")
    names = [name for name in picks.compared_models(questions) if protocol in loaders.model_protocols(name)]
    summaries = {name: summary for name in names if (summary := loaders.model_summary(name, protocol)) is not None}
    slices = {name: table for name in summaries if (table := loaders.model_slices(name, protocol)) is not None}
    offered = list(dict.fromkeys(name for summary in summaries.values() for name in summary["metrics"] if name in LABELS))
    chosen = st.multiselect(
        "Figures", offered, SHOWN, format_func=lambda name: LABELS[name], key="columns", placeholder="Choose figures"
    )
    ordered = sorted(summaries, key=lambda name: -summaries[name]["metrics"]["volume_dice_mean"]["value"])
    summaries, best = {name: summaries[name] for name in ordered}, ordered[0]
    paired = once(protocol, paired_table, slices, best)
    table = marked(table_of(summaries, chosen).set_index("model").loc[ordered].reset_index(), paired, best)
    st.dataframe(table, hide_index=True, key="comparison")
    st.caption("Brackets: 95 % intervals, patients resampled. Differences: Wilcoxon over patients with Holm's correction.")
    exports(table)
    show_parts(
        {
            "Cost": lambda: cost_and_size(protocol, summaries),
            "Differences": lambda: differences(protocol, slices, paired, best),
            "Tversky loss": lambda: study.losses(protocol),
            "Protocol": lambda: study.protocols(protocol),
            "Cross-validation": lambda: study.folds(protocol),
        }
    )


def cost_and_size(protocol: str, summaries: dict[str, dict[str, Any]]) -> None:
    """Dice for its cost, and where the models lose it."""
    left, right = st.columns(2)
    with left:
        place = st.container()  # controls stand below their charts, so that the charts of a row begin together
        cost = st.segmented_control(
            "Cost", list(charts.COSTS), default="gflop", required=True, key="cost", format_func=lambda name: charts.COSTS[name]
        )
        figure = once(protocol, charts.cost_against_dice, costs(list(summaries), str(cost)), summaries, str(cost))
        with place:
            chart(figure, "pareto", "Dice for its cost")
    with right:
        chart(once(protocol, charts.lesions_by_size, summaries), "lesions", "Small lesions are the hard ones")


def differences(protocol: str, slices: dict[str, pd.DataFrame], paired: pd.DataFrame, best: str) -> None:
    """Each model against the best one, over patients and patient by patient."""
    if len(slices) < 2:
        st.info("Only one model is measured so far. Run: resunet train --all")
        return
    left, right = st.columns(2)
    with left:
        chart(once(protocol, charts.forest, paired, best), "forest", f"Paired differences from {best}")
    with right:
        place, others = st.container(), [name for name in slices if name != best]
        first = st.selectbox("Against", others, key="against")
        figure = once(protocol, charts.patient_by_patient, slices[first], slices[best], (first, best))
        with place:
            picks.follow_click(chart(figure, "pairs", "Patient by patient", selectable=True), "pairs", best, protocol)


st.title("Comparison", anchor=False)
try:
    if picks.compared_models():
        there = sorted(
            {protocol for name in picks.compared_models() for protocol in loaders.model_protocols(name)},
            key=lambda name: (name != "test", name),
        )
        words = picks.PROTOCOL_WORDS
        protocol = st.selectbox("Measured on", there, format_func=lambda name: words.get(name, name), key="compared")
        measured(protocol)
    else:
        st.info(f"Nothing is evaluated yet. Run: resunet evaluate {FLAGSHIP} --data DIR --split test")
    reported()
except InputError as error:
    show_error(error)
