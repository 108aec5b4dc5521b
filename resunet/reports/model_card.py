"""The model card of a folder, generated from its own files, with the front matter that the Hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from resunet.evaluation.definitions import DEFINITIONS
from resunet.files import write_text
from resunet.model_folder import CARD, ModelConfig, ModelFolder

PAPER = (
    "After the QPAIN 2025 paper 'Tversky Loss Mechanisms: A ResUNet Approach to Improving Brain Tumor Segmentation' "
    "(DOI 10.1109/QPAIN66474.2025.11171708)."
)
HEADLINES = {
    "segmentation": ("volume_dice_mean", "tumour_slice_dice", "pooled_dice", "recall", "precision", "empty_slice_fp_rate"),
    "classification": ("accuracy", "auroc", "sensitivity", "specificity", "ece"),
}
TASKS = {"segmentation": "image-segmentation", "classification": "image-classification"}  # as the Hub calls them


def model_card(folder: ModelFolder, name: str | None = None) -> str:
    """README.md of a model folder as text: front matter, what it is, how it was made, how it does, its limits."""
    config = folder.config()
    name = name or folder.name
    summaries = {evaluation: folder.summary(evaluation) or {} for evaluation in folder.evaluations()}
    licence = config.data_set.licence.lower().replace(" ", "-")
    front = ModelCardData(
        license=licence if licence.startswith("cc-") else "other",
        library_name="openvino",
        pipeline_tag=TASKS[config.task],
        tags=[config.data_set.anatomy, config.data_set.modality, config.architecture],
        model_name=name,
        eval_results=_eval_results(config, summaries) or None,
    )
    sections = [
        f"---\n{front.to_yaml()}\n---",
        f"# {config.display_name}",
        _what(config),
        "## Training\n\n" + _training(config),
        "## Evaluation\n\n" + _evaluation(config, summaries),
        "## Limits\n\n" + _limits(config),
    ]
    return "\n\n".join(sections) + "\n"


def _what(config: ModelConfig) -> str:
    data = config.data_set
    job = (
        f"Outlines {data.target} in one slice"
        if config.task == "segmentation"
        else f"Says whether one slice shows {data.target}"
    )
    latency = config.latency
    timed = f", {latency.milliseconds:.1f} ms on {latency.processor}" if latency else ""
    channels = "one channel" if config.channels == 1 else f"{config.channels} channels"
    kinds = f" It also says which kind it is: {', '.join(config.classes)}." if config.classes else ""
    neighbours = f" It sees {config.context} slices each way." if config.context else ""
    return (
        f"{job} of {channels} ({', '.join(data.channels)}).{kinds}{neighbours} Anatomy: {data.anatomy}; modality: "
        f"{data.modality}. "
        f"{config.parameters / 1e6:.2f} million parameters, {config.gflop:.2f} GFLOP per slice of "
        f"{config.input_size}x{config.input_size}{timed}. Research use only; not a medical device. {PAPER}"
    )


def _training(config: ModelConfig) -> str:
    if config.fusion:
        members = zip(config.fusion.shares, config.fusion.members, strict=True)
        shares = " and ".join(f"{share:.0%} {name}" for share, name in members)
        return f"Averages the probabilities of its members, trained by themselves: {shares}, chosen on validation."
    recipe = config.recipe or {}
    phases = ", then ".join(f"{phase['epochs']} epochs at {phase['size']} pixels" for phase in recipe["phases"])
    auxiliary = " Its feature maps were also trained to find the masks." if recipe["auxiliary_masks"] else ""
    unaided = "" if recipe["imagenet"] else ", no ImageNet pre-training"
    where = f" Trained on {config.trained_on}." if config.trained_on else ""
    kept = "" if config.keeps_weights else " The weights are not kept; rerun the command to train an equivalent model."
    return (
        f"`resunet train --recipe {recipe['name']}`. {config.data_set.name}: {len(config.patients['train'])} patients "
        f"({config.slices['train']} slices) for training, {len(config.patients['val'])} for validation, split by "
        f"{config.split_scheme}. Weights {config.initialisation}{unaided}; {phases} of "
        f"{recipe['samples_per_epoch']} weighted draws{_drawn_from(recipe)}; loss "
        f"{recipe['loss']}; {config.optimiser}; seed {recipe['seed']}.{auxiliary} Best epoch on validation: "
        f"{config.best_epoch}.{where} Each slice is normalised by itself: {config.preprocessing}. Threshold "
        f"{config.threshold}, chosen on {config.threshold_split or 'nothing yet'}.{kept}"
    )


def _drawn_from(recipe: Mapping[str, Any]) -> str:
    """What the draws come from besides the data set; earlier recipes mixed in slices of a simulator that is gone."""
    sources = {
        "simulated": recipe.get("simulated_share", 0),
        "of people without a tumour": recipe.get("without_tumour_share", 0),
    }
    return "".join(f", {share:.0%} of them {source}" for source, share in sources.items() if share)


def _evaluation(config: ModelConfig, summaries: Mapping[str, dict[str, Any]]) -> str:
    if not summaries:
        return "Not evaluated yet."
    return "\n\n".join(_evaluation_table(config, name, summary) for name, summary in summaries.items())


def _evaluation_table(config: ModelConfig, evaluation: str, summary: dict[str, Any]) -> str:
    rows = ["| figure | value | 95 % interval | n | how it is taken |", "| --- | --- | --- | --- | --- |"]
    for name, figure in summary["metrics"].items():
        if figure["value"] is None:
            continue  # undefined on this set
        definition = DEFINITIONS.get(name.removeprefix("gated_"), "")
        if name == "precision" and config.task == "classification":
            definition = "share of slices called tumour that show one"
        gated = " (after the gate)" if name.startswith("gated_") else ""
        rows.append(
            f"| {name} | {_number(figure['value'])} | {_number(figure['low'])} to {_number(figure['high'])} "
            f"| {figure['n']} {figure['unit']}s | {definition}{gated} |"
        )
    head = (
        f"**{evaluation}**: {summary['n_patients']} patients, {summary['n_slices']} slices, {summary['n_tumour_slices']} "
        f"with tumour; threshold {summary['threshold']}; intervals resample patients."
    )
    return head + "\n\n" + "\n".join(rows)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _eval_results(config: ModelConfig, summaries: Mapping[str, dict[str, Any]]) -> list[EvalResult]:
    metrics = summaries.get("test", {}).get("metrics", {})
    return [
        EvalResult(
            task_type=TASKS[config.task],
            dataset_type=config.data_set.identifier or config.data_set.name,
            dataset_name=config.data_set.name,
            dataset_split=f"test (by {config.split_scheme})",
            metric_type=name,
            metric_value=round(metrics[name]["value"], 4),
        )
        for name in HEADLINES[config.task]
        if name in metrics and metrics[name]["value"] is not None
    ]


def _limits(config: ModelConfig) -> str:
    data = config.data_set
    terms = f"The weights inherit the licence of the data: {data.licence}."
    sentences = [
        *data.limits,
        *([] if config.context else ["One slice at a time: it does not know the slices above and below."]),
        f"{terms[:-1]}; {data.citation}." if data.citation else terms,
    ]
    return "\n".join(f"- {sentence}" for sentence in sentences)


def renew_card(folder: ModelFolder) -> None:
    """Let the card of a promoted model say what its files say now."""
    if (folder.path / CARD).exists():
        write_text(folder.path / CARD, model_card(folder))
