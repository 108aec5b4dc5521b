"""Comparison: every measured model on the same slices, which differences are real, and what others report."""

import pandas as pd
import streamlit as st

from pages.common import loaders
from pages.common.chart import chart
from pages.common.dashboards import ablation_tabs as ablations
from pages.common.dashboards import evaluations, selection
from pages.common.dashboards.caching import computed, of_slices
from pages.common.dashboards.tabs import show_tabs
from pages.common.downloads import download
from pages.common.messages import counted, show_error
from pages.common.table import show_table
from resunet.catalogue import FLAGSHIP
from resunet.charts import comparison_charts as charts
from resunet.charts.chart_files import safe_csv
from resunet.errors import InputError
from resunet.evaluation.ablation_questions import REPORTED
from resunet.evaluation.compare import is_same_set, metric_table, paired_table, significance_labels, wide
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.evaluation import Evaluation
from resunet.model_folder import ModelConfig
from resunet.reports.latex import latex_table

CAPTION = "Models on the same slices. Brackets: 95 % intervals, patients resampled; the best in bold."
AGAINST = "Against {}"  # the model that the others are compared with
ON_A_PHONE = 2  # figures of a model in the table
SHOWN = ["volume_dice_mean", "volume_dice_median", "tumour_slice_dice", "precision", "recall", "empty_slice_fp_rate"]


Measured = dict[str, Evaluation]


def table_of(measured: Measured, figures: list[str], reference: str) -> pd.DataFrame:
    """One row per model in order, one column per figure with its interval, and how it stands against the reference.

    Where ablations are among them, the first column tells them apart.
    """
    summaries = {name: evaluation.summary for name, evaluation in measured.items()}
    cells = wide(metric_table(summaries)).set_index("metric")
    table = cells.reindex(figures).rename(index=LABELS).T.loc[list(measured)]
    words_by_model = significance_labels(tested(measured, reference))
    table[AGAINST.format(loaders.display_name(reference))] = [words_by_model.get(name, "–") for name in measured]
    table.insert(0, "Model", [evaluation.display_name for evaluation in measured.values()])
    if any(map(is_ablation, measured)):
        table.insert(0, "Group", ["Ablation" if is_ablation(name) else "Model" for name in measured])
    return table.reset_index(drop=True)


def tested(measured: Measured, reference: str) -> pd.DataFrame:
    """Each model against the reference; ablations are a family of their own, so that showing them changes nothing else."""
    families = {name: "ablations" if is_ablation(name) else "models" for name in measured}
    return of_slices(paired_table, measured, reference, families)


def on_the_same_slices(measured: Measured) -> Measured:
    """Those that hold the slices of the latest of a visitor's own, else of the first, with a sentence on the others."""
    mine = [one for one in evaluations.uploaded().values() if one in measured.values()]
    first = mine[-1] if mine else next(iter(measured.values()))
    same = {name: one for name, one in measured.items() if is_same_set(one.slices, first.slices)}
    if len(same) < len(measured):
        names = [loaders.display_name(name) for name in measured if name not in same]
        st.info(f"Left out, since measured on other slices than {first.display_name}: {', '.join(names)}.")
    return same


def is_ablation(name: str) -> bool:
    """Whether a run was made to answer one question; its weights are not kept."""
    return not loaders.model_config(name).keeps_weights


def exports(table: pd.DataFrame, is_best: pd.Series) -> None:
    """The table as CSV, and as LaTeX with the best row in bold."""
    with st.container(horizontal=True):
        download("Table as CSV", lambda: safe_csv(table), "comparison.csv")
        download("Table as LaTeX", lambda: latex_table(table, CAPTION, is_best), "comparison.tex")


def reported() -> None:
    """What others report, apart from our own figures."""
    st.subheader("Reported elsewhere", anchor=False)
    st.caption("Quoted, not measured here; other data, splits and averaging.")
    table = pd.read_csv(REPORTED)
    show_table(
        table,
        "reported",
        {"system": "System", "metric": "Figure", "value": "Reported"},
        column_config={
            "system": st.column_config.TextColumn("System", pinned=True),
            "data": st.column_config.TextColumn("Data"),
            "metric": st.column_config.TextColumn("Figure"),
            "value": st.column_config.NumberColumn("Reported", format="%.4g"),
            "source": st.column_config.TextColumn("Source"),
            "note": st.column_config.TextColumn("Note", width="large"),
        },
    )


def costs(configs: dict[str, ModelConfig], cost: str) -> dict[str, float]:
    """What each model costs; those that were never timed have no latency."""
    if cost == "parameters":
        return {name: config.parameters / 1e6 for name, config in configs.items()}
    if cost == "gflop":
        return {name: config.gflop for name, config in configs.items()}
    return {name: config.latency.milliseconds for name, config in configs.items() if config.latency}


def compare(name: str) -> None:
    """Our own models on one evaluation."""
    with_ablations = st.toggle("Include ablation runs", key="ablations", help="Other losses and other seeds of ResUNet")
    measured = on_the_same_slices(evaluations.of_all(evaluations.compared_models(with_ablations), name))
    dice = {model: evaluation.summary["metrics"]["volume_dice_mean"]["value"] for model, evaluation in measured.items()}
    measured = {model: measured[model] for model in sorted(dice, key=lambda model: (is_ablation(model), -dice[model]))}
    best = max(dice, key=lambda model: dice[model])
    reference = FLAGSHIP if FLAGSHIP in measured else next(iter(measured))
    standing(measured, reference)
    st.markdown("**Every figure**")
    offered = list(dict.fromkeys(figure for one in measured.values() for figure in one.summary["metrics"] if figure in LABELS))
    chosen = st.multiselect(
        "Metrics", offered, SHOWN, format_func=lambda figure: LABELS[figure], key="columns", placeholder="Choose metrics"
    )
    table = table_of(measured, chosen, reference)
    few = ["Model", *(LABELS[figure] for figure in chosen[:ON_A_PHONE]), table.columns[-1]]
    show_table(table, "comparison", {column: column for column in few}, height="content", placeholder="–")
    st.caption(
        "Outlining alone, each model at its own threshold. Brackets: 95 % intervals, patients resampled. Differences from "
        f"{loaders.display_name(reference)}: Wilcoxon over patients with Holm's correction. {why_this_one(list(measured))}"
    )
    exports(table, pd.Series([name == best for name in measured]))
    show_tabs(
        {
            "Cost": lambda: cost_and_size(measured, reference),
            "Threshold": lambda: thresholds(measured),
            "Differences": lambda: differences(measured, reference),
            "External": ablations.external,
            "Cross-validation": ablations.cross_validation,
            "Tversky loss": lambda: ablations.losses(name),
            "Split scheme": lambda: ablations.split_schemes(name),
            "Reported elsewhere": reported,
        }
    )


def standing(measured: Measured, reference: str) -> None:
    """What the tests say in one sentence, and the models as a ladder."""
    against = significance_labels(tested(measured, reference))
    worse, name = sum(words == "worse" for words in against.values()), loaders.display_name(reference)
    if against:
        others, verb = counted(len(against), "other model"), "is" if worse == 1 else "are"
        st.subheader(f"Of {others}, {worse} {verb} worse than {name} by more than chance", anchor=False)
    chart(
        computed(charts.ladder, measured, against, reference),
        "ladder",
        f"Strong blue: {name}. Light blue: no clear difference. Grey: clearly worse, patient by patient, though bars overlap",
    )


def why_this_one(ordered: list[str]) -> str:
    """Why the app outlines with the flagship where others stand above it in the table."""
    ahead = ordered[: ordered.index(FLAGSHIP)] if FLAGSHIP in ordered else []
    validation = evaluations.of_all(ordered, "val")
    if not ahead or FLAGSHIP not in validation:
        return ""
    dice = {name: one.summary["metrics"]["volume_dice_mean"]["value"] for name, one in validation.items()}
    if max(dice, key=lambda name: dice[name]) != FLAGSHIP:
        return ""
    above = " and ".join(loaders.display_name(name) for name in ahead)
    verb = "stands" if len(ahead) == 1 else "stand"
    return (
        f"The app outlines with {loaders.display_name(FLAGSHIP)}, though {above} {verb} above it here: it has the highest Dice "
        f"on validation ({dice[FLAGSHIP]:.3f}), where the choice was made before this set was read."
    )


def cost_and_size(measured: Measured, reference: str) -> None:
    """Dice versus compute, and where the models lose it."""
    left, right = st.columns(2)
    with left:
        place = st.container()  # controls stand below their charts, so that the charts of a row begin together
        configs = {name: loaders.model_config(name) for name in measured}
        known = [cost for cost in charts.COSTS if costs(configs, cost)]
        cost = st.segmented_control(
            "Cost", known, default="gflop", required=True, key="cost", format_func=lambda name: charts.COSTS[name]
        )
        figure = computed(charts.cost_against_dice, costs(configs, str(cost)), measured, str(cost), reference)
        with place:
            chart(figure, "pareto", "Dice versus compute")
        if cost == "latency":
            processors = dict.fromkeys(config.latency.processor for config in configs.values() if config.latency)
            st.caption(f"Timed on {' and '.join(processors)}.")
    with right:
        chart(computed(charts.lesions_by_size, measured, reference), "lesions", "Small lesions are the hard ones")


def thresholds(measured: Measured) -> None:
    """Dice of every model over the threshold."""
    swept = [one for one in measured.values() if one.sweep() is not None]
    if swept:
        chart(computed(charts.dice_by_threshold, swept), "thresholds", "Dice over the threshold")
    else:
        st.info("The figures under other thresholds were not kept for this set.")


def differences(measured: Measured, reference: str) -> None:
    """Each model against the reference, over patients and patient by patient."""
    if len(measured) < 2:
        st.info("Only one model is measured so far. Run: resunet train --all")
        return
    paired = tested(measured, reference)
    if not paired["n"].any():
        st.info("No slice of this set shows a tumour, so there is no Dice to compare.")
        return
    left, right = st.columns(2)
    with left:
        labels = {name: evaluation.display_name for name, evaluation in measured.items()}
        figure = computed(charts.forest, paired, labels, labels[reference])
        chart(figure, "forest", f"Paired differences from {labels[reference]}")
    with right:
        place = st.container()
        others = [name for name in measured if name != reference]
        first = st.selectbox("Against", others, format_func=loaders.display_name, key="against")
        figure = computed(charts.patient_by_patient, measured[first], measured[reference])
        with place:
            clicked = chart(figure, "pairs", "Patient by patient", selectable=True)
            selection.follow_click(clicked, "pairs", measured[reference])


st.title("Comparison", anchor=False)
try:
    names = {name for model in evaluations.compared_models() for name in evaluations.names(model)}
    if names:
        ordered = evaluations.in_order(names)
        start = "test" if "test" in ordered else ordered[0]  # on which the most models are measured
        compare(selection.choose_set(evaluations.compared_models()[0], ordered, start))
    else:
        st.info(f"Nothing is evaluated yet. Run: resunet evaluate {FLAGSHIP} --data DIR --split test")
except InputError as error:
    show_error(error)
