"""The model card of a folder, generated from its own files, with the front matter that the Hub reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from resunet.artifacts import ModelFolder
from resunet.evaluation.rules import SUMMARY_RULES

DATASET = "LGG MRI segmentation (Buda, Saha, Mazurowski 2019; TCGA-LGG)"
HEADLINES = {
    "segmentation": ("volume_dice_mean", "tumour_slice_dice", "pooled_dice", "recall", "precision", "empty_slice_fp_rate"),
    "classification": ("accuracy", "auroc", "sensitivity", "specificity", "ece"),
}

RESULTS = {
    "volume_dice_mean": "volume Dice, mean",
    "volume_dice_median": "median",
    "tumour_slice_dice": "tumour-slice Dice",
    "empty_slice_fp_rate": "false alarms on empty slices",
}
RESULTS_START, RESULTS_END = "<!-- results: written by `resunet cards` -->", "<!-- end of results -->"


def model_card(folder: ModelFolder, name: str | None = None) -> str:
    """README.md of a model folder as text: front matter, what it is, how it was made, how it does, its limits."""
    config, name = folder.config(), name or folder.name
    summaries = {protocol: folder.summary(protocol) or {} for protocol in folder.protocols()}
    front = ModelCardData(
        license="cc-by-nc-sa-4.0",
        library_name="pytorch",
        pipeline_tag="image-segmentation" if config["task"] == "segmentation" else "image-classification",
        tags=["brain-tumour", "mri", config["architecture"]],
        model_name=name,
        eval_results=_eval_results(config, summaries) or None,
    )
    parts = [
        f"---\n{front.to_yaml()}\n---",
        f"# {name}",
        _what(config),
        "## Training\n\n" + _training(config),
        "## Evaluation\n\n" + _evaluation(config, summaries),
        "## Limits\n\n" + LIMITS,
    ]
    return "\n\n".join(parts) + "\n"


def results_table(folders: Sequence[ModelFolder], protocol: str = "test") -> str:
    """A Markdown table of the segmentation models that keep their weights, best mean volume Dice first, for the README."""
    rows = []
    for folder in folders:
        config, summary = folder.config(), folder.summary(protocol)
        if summary is None or config["task"] != "segmentation" or not folder.keeps_weights():
            continue
        metrics = summary["metrics"]
        cells = [_with_interval(metrics[name]) for name in RESULTS]
        rows.append((-metrics["volume_dice_mean"]["value"], [folder.name, f"{config['parameters'] / 1e6:.1f} M", *cells]))
    head = ["model", "parameters", *RESULTS.values()]
    lines = [head, ["---"] * len(head), *(cells for _, cells in sorted(rows))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _with_interval(figure: dict[str, Any]) -> str:
    return f"{_number(figure['value'])} [{_number(figure['low'])}, {_number(figure['high'])}]"


def with_results(readme: str, table: str) -> str:
    """The README with the lines between its two marks replaced by `table`. Raises ValueError where a mark is missing."""
    before, _, rest = readme.partition(RESULTS_START)
    _, mark, after = rest.partition(RESULTS_END)
    if not mark:
        raise ValueError(f"the README needs the marks {RESULTS_START} and {RESULTS_END}")
    return f"{before}{RESULTS_START}\n{table}\n{RESULTS_END}{after}"


def _what(config: dict[str, Any]) -> str:
    job = (
        "Outlines the FLAIR abnormality of lower-grade gliomas in one axial MRI slice"
        if config["task"] == "segmentation"
        else "Says whether one axial MRI slice shows a lower-grade glioma"
    )
    return (
        f"{job} of three channels ({', '.join(config['channels'])}). {config['parameters'] / 1e6:.2f} million parameters, "
        f"{config['gflop']:.2f} GFLOP a slice of {config['input_size']}x{config['input_size']}. Research use only; not a "
        "medical device. After the QPAIN 2025 paper 'Tversky Loss Mechanisms: A ResUNet Approach to Improving Brain Tumor "
        "Segmentation' (DOI 10.1109/QPAIN66474.2025.11171708)."
    )


def _training(config: dict[str, Any]) -> str:
    if "members" in config:
        shares = " and ".join(
            f"{share:.0%} {name}" for share, name in zip(config["fusion"]["shares"], config["members"], strict=True)
        )
        return f"Averages the probabilities of its members, trained by themselves: {shares}, chosen on validation."
    recipe = config["recipe"]
    stages = ", then ".join(f"{stage['epochs']} epochs at {stage['size']} pixels" for stage in recipe["stages"])
    help_ = " The feature maps were also trained to find the masks (dropped afterwards)." if recipe["mask_help"] else ""
    unaided = "" if recipe.get("imagenet") else ", no ImageNet pre-training"
    kept = "" if recipe.get("keep_weights", True) else " The weights are not kept; the command makes them again."
    return (
        f"`resunet train --recipe {recipe['name']}`. {DATASET}: {len(config['patients']['train'])} patients "
        f"({config['slices']['train']} slices) for training, {len(config['patients']['val'])} for validation, split by "
        f"{config['protocol']}. Weights {config['initialisation']}{unaided}; {stages} of "
        f"{recipe['samples_per_epoch']} weighted draws, {recipe['simulated_share']:.0%} of them simulated; loss "
        f"{recipe['loss']}; {config['optimiser']}; seed {recipe['seed']}.{help_} Best epoch on validation: "
        f"{config['best_epoch']}. Each slice is normalised by itself: {config['preprocessing']}. Threshold "
        f"{config['threshold']}, chosen on {config['threshold_split'] or 'nothing yet'}.{kept}"
    )


def _evaluation(config: dict[str, Any], summaries: dict[str, dict[str, Any]]) -> str:
    if not summaries:
        return "Not evaluated yet."
    sections = []
    for protocol, summary in summaries.items():
        rows = ["| figure | value | 95 % interval | n | how it is taken |", "| --- | --- | --- | --- | --- |"]
        for name, figure in summary["metrics"].items():
            rule = SUMMARY_RULES.get(name.removeprefix("gated_"), "")
            if name == "precision" and config["task"] == "classification":
                rule = "share of slices called tumour that show one"
            gated = " (after the gate)" if name.startswith("gated_") else ""
            rows.append(
                f"| {name} | {_number(figure['value'])} | {_number(figure['low'])} to {_number(figure['high'])} "
                f"| {figure['n']} {figure['unit']}s | {rule}{gated} |"
            )
        head = (
            f"**{protocol}**: {summary['n_patients']} patients, {summary['n_slices']} slices, {summary['n_tumour_slices']} "
            f"with tumour; threshold {summary['threshold']}; intervals resample patients."
        )
        sections.append(head + "\n\n" + "\n".join(rows))
    return "\n\n".join(sections)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _eval_results(config: dict[str, Any], summaries: dict[str, dict[str, Any]]) -> list[EvalResult]:
    metrics = summaries.get("test", {}).get("metrics", {})
    task = "image-segmentation" if config["task"] == "segmentation" else "image-classification"
    return [
        EvalResult(
            task_type=task,
            dataset_type="mateuszbuda/lgg-mri-segmentation",
            dataset_name=DATASET,
            dataset_split="test (by patient)",
            metric_type=name,
            metric_value=round(metrics[name]["value"], 4),
        )
        for name in HEADLINES[config["task"]]
        if name in metrics and metrics[name]["value"] is not None
    ]


LIMITS = """\
- Trained on 70 patients with lower-grade glioma from five hospitals; every one of them has a tumour. Other diseases,
  children, scanners and sequences were not seen.
- One slice at a time: it does not know the slices above and below.
- Masks of the data set outline the FLAIR abnormality, oedema included, not the enhancing tumour.
- The weights inherit the data's licence, CC BY-NC-SA 4.0: non-commercial, share alike, cite Buda et al. 2019 and
  Mazurowski et al. 2017."""
