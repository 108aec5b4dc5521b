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
from resunet.evaluation.cross_validation import CROSS_VALIDATED, cross_validation_table, hard_patients
from resunet.evaluation.definitions import LABELS
from resunet.evaluation.error_breakdown import error_breakdown
from resunet.evaluation.evaluation import EXTERNAL, NO_TUMOUR, Evaluation
from resunet.evaluation.external import external_differences, external_rows, external_table, headline_figures
from resunet.evaluation.headlines import headlines
from resunet.evaluation.kinds import by_tumour_and_plane, confusion
from resunet.evaluation.overlap import volume_dice
from resunet.inference.verdict import FOUND, UNCLEAR
from resunet.model_folder import REPOSITORY

SETS = {  # evaluations, and what people read for them
    "test": "Test: held out from everything",
    CROSS_VALIDATED: "Cross-validated: each by a network that did not see them",
    EXTERNAL: "External slices: BraTS, 100 tumour pixels or more",
}
SET_FIGURES = ("volume_dice_mean", "volume_dice_median", "tumour_slice_dice", FALSE_POSITIVES)
ARCHITECTURE_FIGURES = ("volume_dice_mean", "tumour_slice_dice", SMALLEST, FALSE_POSITIVES)
LOSS_FIGURES = ("volume_dice_mean", "recall", "precision", SMALLEST, FALSE_POSITIVES)


def document_tables() -> dict[Path, dict[str, str]]:
    """Markdown tables by the document that holds them and by name."""
    measured = {name: _stored(name) for name in SETS}
    runs, unions, external = measured.values()
    findings = {
        "architectures": architectures(runs),
        "differences": differences(runs),
        "losses": losses(runs),
        "averaging": averaging(runs),
        "stage 1": stage_1(runs),
        "cross-validation": cross_validation(unions),
        "volume model": volume_model(unions),
        "hard patients": hard(unions),
        "external": other_hospitals(runs, external),
        "error breakdown": breakdown(runs),
        "people without a tumour": people_without_tumour(),
        "other tumours": other_tumours(),
        "kinds": kinds_confused(),
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
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


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


def architectures(runs: Mapping[str, Evaluation]) -> str:
    """Every segmentation model that keeps its weights, best mean volume Dice first."""
    rows = []
    for name in _segmentation_models(runs):
        metrics = runs[name].summary["metrics"]
        size = f"{find_model(name).config().parameters / 1e6:.1f} M"
        cells = [_with_interval(metrics[figure]) for figure in ARCHITECTURE_FIGURES]
        rows.append((-metrics["volume_dice_mean"]["value"], [runs[name].display_name, size, *cells]))
    return markdown(
        ["Model", "Parameters", *(LABELS[figure] for figure in ARCHITECTURE_FIGURES)], [row for _, row in sorted(rows)]
    )


def differences(runs: Mapping[str, Evaluation]) -> str:
    """Every model against the flagship, paired over patients."""
    held_out = find_model(FLAGSHIP).config().held_out
    models = {name: runs[name].slices for name in _segmentation_models(runs) if find_model(name).config().held_out == held_out}
    return _paired(paired_table(models, FLAGSHIP), runs, "Volume Dice minus the flagship's", "p (Holm)")


def _paired(table: pd.DataFrame, runs: Mapping[str, Evaluation], difference: str, p_value: str) -> str:
    """A `paired_table` in Markdown, best first."""
    rows = [
        [
            runs[str(row.model)].display_name,
            f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]",
            p_text(float(str(row.p_holm))),
            f"{row.wins} / {row.ties} / {row.losses}",
        ]
        for row in table.sort_values("difference", ascending=False).itertuples()
    ]
    return markdown(["Model", difference, p_value, "Patients won / tied / lost"], rows)


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
    return markdown(["Loss", "Seeds", *(LABELS[figure] for figure in LOSS_FIGURES), "Smallest lesions, against BCE"], rows)


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
        counts = [f"{row['fn']} of {row['fn'] + row['tp']}", f"{row['fp']} of {row['fp'] + row['tn']}"]
        rows.append([row["classifier"], row["n"], *cells, auroc, *counts])
    columns = ["Split", "Slices", "Accuracy", "Sensitivity", "Specificity", "AUROC", "Missed tumours", "False positives"]
    return markdown(columns, rows)


def cross_validation(unions: Mapping[str, Evaluation]) -> str:
    """Out-of-fold volume Dice by group of patients, models side by side."""
    table = cross_validation_table(unions)
    rows = []
    for group, of_models in table.groupby("group", sort=False):
        records = of_models.to_dict("records")
        cells = [(_with_interval({**row, "value": row["mean"]}), f"{row['median']:.3f}") for row in records]
        rows.append([group, of_models["n"].iloc[0], *itertools.chain(*cells)])
    names = [f"{model}, {figure}" for model in table["model"].unique() for figure in ("mean", "median")]
    return markdown(["Patients", "n", *names], rows)


def volume_model(unions: Mapping[str, Evaluation]) -> str:
    """The volume model against the flagship over all patients, out of fold."""
    table = paired_table({name: evaluation.slices for name, evaluation in unions.items()}, FLAGSHIP)
    return _paired(table, unions, "Volume Dice minus the flagship's", "p")


def hard(unions: Mapping[str, Evaluation]) -> str:
    """The patients on whom the flagship fails, out of fold, with where the app shows them."""
    other = volume_dice(unions[VOLUME_MODEL].slices)
    rows = []
    for row in hard_patients(unions[FLAGSHIP].slices).to_dict("records"):
        address = f"/cases?model={FLAGSHIP}&evaluation={CROSS_VALIDATED}&patient={row['patient']}&slice={row['slice']}"
        cells = [f"{row['dice']:.3f}", f"{other[row['patient']]:.3f}"]
        cells += [f"{row[name]:,}" for name in ("tumour_pixels", "missed", "false")]
        rows.append([row["patient"], *cells, f"`{address}`"])
    columns = ["Patient", *(unions[name].display_name for name in (FLAGSHIP, VOLUME_MODEL)), "Tumour, px", "Missed", "False"]
    return markdown([*columns, "Its worst slice in the app"], rows)


def other_hospitals(runs: Mapping[str, Evaluation], external: Mapping[str, Evaluation]) -> str:
    """Every segmentation model on the test set and on the external one."""
    measured = {name: external[name] for name in _segmentation_models(external)}
    labels = {name: evaluation.display_name for name, evaluation in measured.items()}
    pretrained = [name for name in measured if (find_model(name).config().recipe or {}).get("imagenet")]
    rows = external_rows(external_table(runs, measured), external_differences(measured, FLAGSHIP), labels, pretrained)
    return markdown(list(rows.columns), rows.to_numpy().tolist())


def breakdown(runs: Mapping[str, Evaluation]) -> str:
    """Where both stages lose and invent pixels of the test patients."""
    pixels = error_breakdown(runs[FLAGSHIP].slices, runs[FLAGSHIP].gate)
    rows = [
        [name.replace("_", " ").capitalize(), f"{count:,}", f"{count / pixels['tumour']:.1%}"] for name, count in pixels.items()
    ]
    return markdown(["Pixels", "Count", "Of all tumour pixels"], rows)


def people_without_tumour() -> str:
    """What both stages say of slices of people who have no tumour, by person."""
    tables = {name: _said_of_people(name) for name in (FLAGSHIP, VOLUME_MODEL)}
    people = sorted(set(tables[FLAGSHIP]["patient"]))
    rows = []
    for label, group in (("All", people), *((person, [person]) for person in people)):
        cells = []
        for table in tables.values():
            said = table.loc[table["patient"].isin(group), "said"]
            cells += [f"{(said == headline).mean():.1%}" for headline in (FOUND, UNCLEAR)]
        rows.append([label, len(tables[FLAGSHIP].query("patient in @group")), *cells])
    columns = [f"{find_model(name).config().display_name}, {what}" for name in tables for what in ("found", "unclear")]
    return markdown(["Person", "Slices", *columns], rows)


def _said_of_people(model: str) -> pd.DataFrame:
    folder = find_model(model)
    slices, gate = folder.slices(NO_TUMOUR), folder.config().gate
    assert slices is not None and gate is not None
    return slices.assign(said=headlines(slices, gate.threshold, find_model(gate.model).config().threshold))


def other_tumours() -> str:
    """The T1-CE model by tumour and plane."""
    rows = []
    for row in by_tumour_and_plane(_t1ce_slices()).to_dict("records"):
        dice = f"{row['dice']:.3f} [{row['dice_low']:.3f}, {row['dice_high']:.3f}]"
        right = f"{row['accuracy']:.3f} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
        group = row["group"][0].upper() + row["group"][1:]
        rows.append([group, row["patients"], row["slices"], dice, f"{row['dice_median']:.3f}", f"{row['missed']:.1%}", right])
    return markdown(["Slices", "Patients", "n", "Dice", "Median", "Dice under 0.1", "Kind right"], rows)


def kinds_confused() -> str:
    """Slices by true kind and by what the T1-CE model takes them for."""
    table = confusion(_t1ce_slices())
    rows = [[kind[0].upper() + kind[1:], *counts] for kind, counts in zip(table.index, table.to_numpy().tolist(), strict=True)]
    return markdown(["True kind", *(f"Called {kind}" for kind in table.columns)], rows)


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
