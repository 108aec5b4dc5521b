"""The tables of README.md and docs/findings.md, made from the model folders by `resunet cards`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from resunet.catalogue import FLAGSHIP, T1CE_MODEL, VOLUME_MODEL, find_model, list_comparable, list_models
from resunet.evaluation.ablation_questions import (
    FALSE_POSITIVES,
    LOSS_LABELS,
    SMALLEST,
    SPLIT_SCHEME_RUNS,
    STAGE_1_RUNS,
    confusion_table,
    difference,
    loss_slices,
    loss_table,
)
from resunet.evaluation.averaging import averaging_table
from resunet.evaluation.compare import p_text, paired_table
from resunet.evaluation.cross_validation import CROSS_VALIDATED, cross_validation_table
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.evaluation import EXTERNAL, Evaluation
from resunet.evaluation.external import external_differences, headline_figures
from resunet.evaluation.kinds import by_tumour_and_plane
from resunet.model_folder import REPOSITORY

SETS = {  # evaluations, and what people read for them
    "test": "Test",
    CROSS_VALIDATED: "Cross-validated",
    EXTERNAL: "External slices (BraTS, 100 tumour pixels or more)",
}
SET_FIGURES = ("volume_dice_mean", "volume_dice_median", "tumour_slice_dice", FALSE_POSITIVES)
ARCHITECTURE_FIGURES = ("volume_dice_mean",)
LOSS_FIGURES = ("volume_dice_mean", "recall", "precision")


def document_tables() -> dict[Path, dict[str, str]]:
    """Markdown tables by the document that holds them and by name."""
    measured = {name: _stored(name) for name in SETS}
    runs, unions, external = measured.values()
    findings = {
        "architectures": architectures(runs, external),
        "losses": losses(runs),
        "averaging": averaging(runs),
        "stage 1": stage_1(runs),
        "cross-validation": cross_validation(unions),
        "other tumours": other_tumours(),
    }
    return {
        REPOSITORY / "README.md": {"sets": sets(measured)},
        REPOSITORY / "docs" / "findings.md": findings,
    }


def _stored(evaluation: str) -> dict[str, Evaluation]:
    stored = {name: Evaluation.stored(find_model(name), evaluation) for name in list_comparable()}
    return {name: measured for name, measured in stored.items() if measured is not None}


def with_tables(document: str, tables: Mapping[str, str]) -> str:
    """The document with what lies between the marks of each table replaced. Raises ValueError where a mark is missing."""
    for name, table in tables.items():
        before, start, rest = document.partition(f"<!-- table: {name} -->\n")
        _, end, after = rest.partition("<!-- end of table -->")
        if not start or not end:
            raise ValueError(f"the document has no marks for the table {name}")
        document = f"{before}{start}{table}\n{end}{after}"
    return document


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    first, *others = (f"| {' | '.join(str(cell) for cell in line)} |" for line in (columns, *rows))
    return "\n".join([first, "|---" * len(columns) + "|", *others])


def sets(measured: Mapping[str, Mapping[str, Evaluation]]) -> str:
    """The flagship and the volume model on each set."""
    rows = []
    for evaluation, words in SETS.items():
        for model in (FLAGSHIP, VOLUME_MODEL):
            one = measured[evaluation][model]
            figures = headline_figures(one.slices) if evaluation == EXTERNAL else one.summary["metrics"]
            cells = [_with_interval(figures[figure]) for figure in SET_FIGURES]
            rows.append([words, figures["volume_dice_mean"]["n"], one.display_name, *cells])
    return markdown(["Set", "Patients", "Model", *(LABELS[figure] for figure in SET_FIGURES)], rows)


def architectures(runs: Mapping[str, Evaluation], external: Mapping[str, Evaluation]) -> str:
    """Every segmentation model that keeps its weights, best first: on the test set, and on the external one.

    Differences and p values are paired with the flagship over patients.
    """
    held_out = find_model(FLAGSHIP).config().held_out
    names = [name for name in _segmentation_models(runs) if find_model(name).config().held_out == held_out]
    names.sort(key=lambda name: -runs[name].summary["metrics"]["volume_dice_mean"]["value"])
    paired = paired_table({name: runs[name].slices for name in names}, FLAGSHIP).set_index("model")
    outside = external_differences({name: external[name] for name in names}, FLAGSHIP).set_index("model")
    rows = []
    for name in names:
        figures = [_with_interval(runs[name].summary["metrics"][figure]) for figure in ARCHITECTURE_FIGURES]
        others = headline_figures(external[name].slices)
        row = [runs[name].display_name, f"{find_model(name).config().parameters / 1e6:.1f} M", *figures]
        row += [_difference(paired, name), _p_value(paired, name)]
        row += [
            _with_interval(others["volume_dice_mean"]),
            f"{others['volume_dice_median']['value']:.3f}",
            _p_value(outside, name),
        ]
        rows.append(row)
    figures = [LABELS[figure] for figure in ARCHITECTURE_FIGURES]
    return markdown(["Model", "Size", *figures, "Minus the flagship's", "p", "External, mean", "Median", "p"], rows)


def _difference(paired: pd.DataFrame, name: str) -> str:
    if name not in paired.index:
        return ""
    row = paired.loc[name]
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _p_value(paired: pd.DataFrame, name: str) -> str:
    return p_text(float(str(paired.loc[name, "p_holm"]))) if name in paired.index else ""


def losses(runs: Mapping[str, Evaluation]) -> str:
    """ResUNet with each loss, seeds pooled, and the share of the smallest lesions found against BCE."""
    slices = {name: evaluation.slices for name, evaluation in runs.items()}
    table = loss_table(slices)
    pooled = loss_slices(slices)
    rows = []
    for loss, label in LOSS_LABELS.items():
        if loss not in pooled:
            continue
        figures = table[table["loss"] == label].set_index("metric")
        cells = [_with_interval(figures.loc[figure].to_dict()) for figure in LOSS_FIGURES]
        gain = difference(pooled[loss], pooled["bce"], SMALLEST) if loss != "bce" else None
        against = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" if gain else ""
        rows.append([label, figures["runs"].iloc[0], *cells, against])
    return markdown(
        ["Loss", "Seeds", *(LABELS[figure] for figure in LOSS_FIGURES), "Smallest lesions found, against BCE"], rows
    )


def averaging(runs: Mapping[str, Evaluation]) -> str:
    """One recipe under both split schemes and every averaging, and the flagship's on random slices."""
    columns = {**SPLIT_SCHEME_RUNS, "Random slices, ResUNet-Lite": "resunet_lite_slice"}
    table = averaging_table({words: runs[run] for words, run in columns.items() if run in runs})
    cells = table.assign(cell=[_with_interval(row) for row in table.to_dict("records")])
    wide = cells.pivot_table(index="aggregation", columns="scheme", values="cell", aggfunc="first", sort=False)
    return markdown(["Averaging", *wide.columns], wide.reset_index().to_numpy().tolist())


def stage_1(runs: Mapping[str, Evaluation]) -> str:
    """Stage 1 under both split schemes, beside what the paper reports."""
    measured = {words: runs[run] for words, run in STAGE_1_RUNS.items() if run in runs}
    rows = []
    for row in confusion_table(measured).to_dict("records"):
        own = measured.get(row["classifier"])
        cells = [
            _with_interval(own.summary["metrics"][figure]) if own else f"{row[figure]:.3f}"
            for figure in ("accuracy", "sensitivity", "specificity")
        ]
        auroc = _with_interval(own.summary["metrics"]["auroc"]) if own else ""
        rows.append([row["classifier"], row["n"], *cells, auroc])
    columns = ["Split", "Slices", "Accuracy", "Sensitivity", "Specificity", "AUROC"]
    return markdown(columns, rows)


def cross_validation(unions: Mapping[str, Evaluation]) -> str:
    """Out-of-fold volume Dice of all patients and by size, models side by side."""
    table = cross_validation_table(unions)
    table = table[~table["group"].str.contains("Site|second|third")]  # the app shows them
    rows = []
    for group, of_models in table.groupby("group", sort=False):
        records = of_models.to_dict("records")
        cells = [(_with_interval({**row, "value": row["mean"]}), f"{row['median']:.3f}") for row in records]
        rows.append([group, of_models["n"].iloc[0], *itertools.chain(*cells)])
    names = [f"{model}, {figure}" for model in table["model"].unique() for figure in ("mean", "median")]
    return markdown(["Patients", "n", *names], rows)


def other_tumours() -> str:
    """The T1-CE model by tumour, and by plane."""
    rows = []
    for row in by_tumour_and_plane(_t1ce_slices()).to_dict("records"):
        if "," in row["group"]:  # a tumour in a plane, which the app shows
            continue
        dice = f"{row['dice']:.3f} [{row['dice_low']:.3f}, {row['dice_high']:.3f}]"
        right = f"{row['accuracy']:.3f} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
        group = row["group"][0].upper() + row["group"][1:]
        rows.append([group, row["patients"], row["slices"], dice, f"{row['dice_median']:.3f}", f"{row['missed']:.1%}", right])
    return markdown(["Slices", "Patients", "n", "Dice", "Median", "Dice under 0.1", "Kind right"], rows)


def _t1ce_slices() -> pd.DataFrame:
    """All folds where they are measured, else the test fold alone."""
    folder = find_model(T1CE_MODEL)
    slices = folder.slices("cross_validated")
    slices = folder.slices("test") if slices is None else slices
    assert slices is not None
    return slices


def _segmentation_models(runs: Mapping[str, Evaluation]) -> list[str]:
    return [name for name in list_models() if name in runs and runs[name].segments]


def _with_interval(figure: Mapping[Any, Any]) -> str:
    if pd.isna(figure["value"]):
        return "–"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
