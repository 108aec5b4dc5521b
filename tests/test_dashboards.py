"""The screens that read model folders: with what is bundled, with nothing, with files missing, with damaged ones."""

import json
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from pages.common.dashboards import evaluations
from resunet import catalogue
from resunet.catalogue import FLAGSHIP, STAGE_1, VOLUME_MODEL, find_model, list_runs
from resunet.cli.parser import build_parser
from resunet.evaluation.aggregate import gate_slices, summarise_classification, summarise_segmentation
from resunet.evaluation.evaluation import Evaluation
from tests.conftest import open_app
from tests.test_app import copied_weights, fresh_caches, plain_text, text_of  # noqa: F401 (fixtures)

SCREENS = ("metrics", "comparison", "cases", "training")


def shown(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def test_metrics_equal_the_summary_of_the_folder():
    figures = find_model(FLAGSHIP).summary("test")["metrics"]
    cards = shown(open_app("metrics", evaluation="test"))
    for name, label in (("volume_dice_mean", "Volume Dice, mean"), ("recall", "Recall"), ("hd95_px", "HD95, pixels")):
        assert cards[f"{label}, both stages"] == f"{figures[f'gated_{name}']['value']:.3f}"


@pytest.mark.parametrize("evaluation", ["cross_validated", "external"])
def test_every_screen_shows_the_other_sets_as_their_files_say(evaluation: str):
    summary = find_model(FLAGSHIP).summary(evaluation)
    app = open_app("metrics", evaluation=evaluation)
    gated, both = ("", "") if summary["gate"] is None else ("gated_", ", both stages")
    cards, figures = shown(app), summary["metrics"]
    for name, label in (("volume_dice_mean", "Volume Dice, mean"), ("recall", "Recall"), ("hd95_px", "HD95, pixels")):
        assert cards[label + both] == f"{figures[f'{gated}{name}']['value']:.3f}"
    assert f"{summary['n_patients']} patients" in app.selectbox(key="evaluation").options[2 * (evaluation == "external")]
    slices = find_model(FLAGSHIP).slices(evaluation)
    worst = slices.loc[(slices["fp"] + slices["fn"]).idxmax()]
    app = open_app("cases", evaluation=evaluation)
    assert plain_text(app.subheader[0].value) == f"{worst['patient']}, slice {worst['slice']}"
    table = open_app("comparison", evaluation=evaluation).dataframe[0].value.set_index("Model")
    value = figures["volume_dice_mean"]
    assert table.loc["ResUNet-Lite", "Volume Dice, mean"] == f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def test_every_command_on_screen_is_one_that_the_command_line_knows():
    for name in list_runs():
        for evaluation in find_model(name).evaluations():
            arguments = shlex.split(evaluations.command(name, evaluation))
            assert arguments[0] == "resunet" and build_parser().parse_args(arguments[1:]).model == name


def test_model_and_set_go_along_from_screen_to_screen():
    app = open_app("metrics")
    app.selectbox(key="model").set_value(VOLUME_MODEL).run()
    app.selectbox(key="evaluation").set_value("external").run()
    app = app.switch_page("pages/evaluation/comparison.py").run()
    assert app.selectbox(key="evaluation").value == "external"
    assert app.query_params["evaluation"] == "external"
    app = app.switch_page("pages/evaluation/cases.py").run()
    assert app.selectbox(key="model").value == VOLUME_MODEL
    app = app.switch_page("pages/demo/overview.py").run()
    app.segmented_control(key="evaluation").set_value("test").run()
    app = app.switch_page("pages/evaluation/metrics.py").run()
    assert (app.selectbox(key="model").value, app.selectbox(key="evaluation").value) == (VOLUME_MODEL, "test")


def test_one_set_and_one_number_on_the_screens_that_a_visitor_opens_first():
    mean = f"{find_model(FLAGSHIP).summary('cross_validated')['metrics']['volume_dice_mean']['value']:.3f}"
    overview = open_app()
    assert overview.segmented_control(key="evaluation").value == "cross_validated"
    assert shown(overview)["ResUNet-Lite, mean volume Dice"] == shown(open_app("metrics"))["Volume Dice, mean"] == mean


def test_undefined_figures_are_dashes():
    app = open_app("metrics", model=STAGE_1, evaluation="external")
    cards = shown(app)
    sensitivity = find_model(STAGE_1).summary("external")["metrics"]["sensitivity"]["value"]
    assert (cards["AUROC"], cards["Specificity"], cards["Sensitivity"]) == ("–", "–", f"{sensitivity:.3f}")
    assert len(app.get("plotly_chart")) == 2 and not app.exception


def test_classifier_metrics_equal_the_summary_of_the_folder():
    app = open_app("metrics")
    app.selectbox(key="model").set_value(STAGE_1).run()
    figures, cards = find_model(STAGE_1).summary("test")["metrics"], shown(app)
    assert cards["Accuracy"] == f"{figures['accuracy']['value']:.3f}" and cards["AUROC"] == f"{figures['auroc']['value']:.3f}"
    assert len(app.get("plotly_chart")) == 4
    app.slider(key="stage_1_threshold").set_value(0.2).run()
    moved, cards = summarise_classification(find_model(STAGE_1).slices("test"), 0.2), shown(app)
    labels = {"Accuracy": "accuracy", "Sensitivity": "sensitivity", "Specificity": "specificity", "F1": "f1", "AUROC": "auroc"}
    assert {label: cards[label] for label in labels} == {label: f"{moved[name]['value']:.3f}" for label, name in labels.items()}


def test_threshold_and_gate_recompute_every_figure_from_the_sweep():
    app = open_app("metrics", evaluation="test")
    app.select_slider(key="explore_threshold").set_value(0.3).run()
    app.slider(key="explore_gate").set_value(0.2).run()
    folder = find_model(FLAGSHIP)
    moved = Evaluation.stored(folder, "test").at(0.3).gated(0.2).slices
    expected, cards = summarise_segmentation(moved), shown(app)
    assert cards["Precision, both stages"] == f"{expected['precision']['value']:.3f}"
    assert cards["Volume Dice, mean, both stages"] == f"{expected['volume_dice_mean']['value']:.3f}"
    assert "--threshold 0.3 --gate 0.2" in app.metric[0].help


def test_another_model_begins_at_its_own_threshold():
    app = open_app("metrics", evaluation="test")
    app.select_slider(key="explore_threshold").set_value(0.3).run()
    app.selectbox(key="model").set_value("unet").run()
    figures = find_model("unet").summary("test")["metrics"]
    assert app.select_slider(key="explore_threshold").value == find_model("unet").config().threshold
    assert shown(app)["Volume Dice, mean, both stages"] == f"{figures['gated_volume_dice_mean']['value']:.3f}"


def test_filters_act_on_the_cards_and_say_how_much_is_left():
    app = open_app("metrics", evaluation="test")
    app.multiselect(key="sites").set_value(["CS"]).run()
    slices = find_model(FLAGSHIP).slices("test")
    left = slices[slices["patient"].str.startswith("TCGA_CS")]
    assert any(f"{len(left):,} of {len(slices):,} slices" in caption.value for caption in app.caption)
    gate = find_model(FLAGSHIP).summary("test")["gate"]
    expected = summarise_segmentation(gate_slices(left, gate))["pooled_dice"]["value"]
    assert shown(app)["Dice, pooled pixels, both stages"] == f"{expected:.3f}"
    assert "Of the slices chosen above alone; the command gives all of them" in app.metric[0].help
    app.multiselect(key="sizes").set_value(["up to 150 px"]).run()
    app.selectbox(key="shows").set_value("without tumour").run()
    assert not app.exception and "No slice fits" in app.warning[0].value


def test_a_case_opens_from_its_address_and_steps_to_its_neighbours():
    slices = find_model(FLAGSHIP).slices("test")
    row = slices[slices["tumour_pixels"] > 0].iloc[5]
    app = open_app("cases", evaluation="test", patient=row["patient"], slice=str(row["slice"]))
    assert plain_text(app.subheader[0].value) == f"{row['patient']}, slice {row['slice']}"
    assert any(f"{row['tp']:,} found, {row['fn']:,} missed" in caption.value for caption in app.caption)
    assert "is not part of this repository" in app.info[0].value
    app.button(key="step_Slice above").click().run()
    assert plain_text(app.subheader[0].value) == f"{row['patient']}, slice {row['slice'] + 1}"


def test_cases_start_with_the_worst_and_an_unknown_address_says_so():
    slices = find_model(FLAGSHIP).slices("test")
    worst = slices.loc[(slices["fp"] + slices["fn"]).idxmax()]
    heading = open_app("cases", evaluation="test").subheader[0].value
    assert plain_text(heading) == f"{worst['patient']}, slice {worst['slice']}"
    lost = open_app("cases", evaluation="test", patient="nobody", slice="1")
    assert "This slice is not part of ResUNet-Lite, Test" in lost.warning[0].value


def test_the_replay_plays_one_run_or_several():
    app = open_app("training")
    assert app.multiselect(key="runs").value == ["resunet", FLAGSHIP] and len(app.get("plotly_chart")) == 1
    assert app.subheader[0].value == "ResUNet-Lite learns more than ResUNet: Dice 0.89 against 0.85 on validation patients"
    assert not [toggle for toggle in app.toggle if toggle.key == "live_watch"]  # nothing is in training
    app.multiselect(key="runs").set_value([FLAGSHIP, STAGE_1]).run()
    assert not app.exception and len(app.get("plotly_chart")) == 1
    assert app.subheader[0].value == "ResUNet-Lite learns three slices"
    app.multiselect(key="runs").set_value([STAGE_1]).run()
    assert "a classifier outlines nothing" in app.info[0].value
    app.multiselect(key="runs").set_value([]).run()
    assert "Choose at least one run" in app.info[0].value


def test_comparison_holds_every_model_and_what_others_report():
    app = open_app("comparison")
    table = app.dataframe[0].value.set_index("Model")
    figure = find_model(FLAGSHIP).summary("test")["metrics"]["recall"]
    assert table.loc["ResUNet-Lite", "Recall"] == f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
    against = table["Against ResUNet-Lite"]
    assert against["ResUNet-Lite"] == "–"
    assert set(against.drop("ResUNet-Lite")) <= {"better", "worse", "no significant difference"}
    confusions = open_app("comparison", tab="Split scheme").dataframe[1].value.set_index("classifier")
    accuracy = find_model(STAGE_1).summary("test")["metrics"]["accuracy"]["value"]
    assert confusions.loc["Patients kept apart", "accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert confusions.loc["Reported by the paper", "tp"] == 220
    others = open_app("comparison", tab="Reported elsewhere").dataframe[-1].value
    assert 0.98 in set(others["value"]) and others["source"].notna().all()


def test_ablations_stand_together_below_the_models():
    app = open_app("comparison")
    alone = app.dataframe[0].value
    assert "Group" not in alone
    app.toggle(key="ablations").set_value(True).run()
    table = app.dataframe[0].value
    assert list(table["Group"]) == ["Model"] * 10 + ["Ablation"] * 10
    pd.testing.assert_frame_equal(table.drop(columns="Group").head(10), alone)  # what they are tested against is named before
    assert set(table.loc[table["Group"] == "Ablation", "Model"].str.startswith("ResUNet, ")) == {True}
    for _, group in table.groupby("Group"):
        assert group["Volume Dice, mean"].is_monotonic_decreasing


def test_milliseconds_are_those_of_the_configurations_and_say_where_they_were_taken():
    app = open_app("comparison")
    app.segmented_control(key="cost").set_value("latency").run()
    _, dots = json.loads(app.get("plotly_chart")[1].proto.spec)["data"]
    taken = dict(zip(dots["customdata"], dots["x"], strict=True))
    configs = [config for name in catalogue.list_models() if (config := find_model(name).config()).latency]
    assert len(taken) >= 8 and taken == {one.display_name: one.latency.milliseconds for one in configs}
    assert any(f"Timed on {configs[0].latency.processor}." in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    ("name", "tab", "charts"),
    [
        ("metrics", "Averages", ["wall", "aggregations", "distribution"]),
        ("metrics", "Tumour size", ["wall", "patients", "slices"]),
        ("metrics", "Error breakdown", ["wall", "error_breakdown"]),
        ("comparison", "Cost", ["ladder", "pareto", "lesions"]),
        ("comparison", "Threshold", ["ladder", "thresholds"]),
        ("comparison", "Differences", ["ladder", "forest", "pairs"]),
        ("comparison", "Tversky loss", ["ladder", "losses", "price"]),
        ("comparison", "Split scheme", ["ladder", "split_schemes"]),
        ("comparison", "Cross-validation", ["ladder", "folds"]),
        ("comparison", "External", ["ladder", "external"]),
    ],
)
def test_an_address_opens_a_tab_and_only_that_one_is_drawn(name: str, tab: str, charts: list[str]):
    app = open_app(name, tab=tab)
    assert [button.key.removesuffix("_csv") for button in app.get("download_button") if button.key] == charts
    assert len(app.get("plotly_chart")) == len(charts) and not app.info and not app.error


@pytest.mark.parametrize("name", SCREENS)
def test_with_no_weights_every_screen_says_what_to_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalogue, "WEIGHTS", tmp_path)
    monkeypatch.setattr("resunet.model_folder.REPOSITORY", tmp_path)
    app = open_app(name)
    assert len(app.info) + len(app.get("plotly_chart")) >= 1 and not app.error


def test_missing_files_leave_the_screens_standing(copied_weights: Path):  # noqa: F811
    for config in copied_weights.rglob("config.json"):
        folder = config.parent
        shutil.rmtree(folder / "evaluation")
        (folder / "snapshots.npz").unlink(missing_ok=True)
    for name in SCREENS:
        app = open_app(name)
        assert app.info and not app.error


def test_without_the_data_cases_open_on_the_samples_with_their_heads():
    app = open_app("cases")
    assert plain_text(app.subheader[0].value).startswith("cavity") and not app.info
    assert len(app.get("image")) == 2 and shown(app)["Dice"] == "0.762"
    app.button(key="step_Next").click().run()
    assert "Number 2 of 24" in app.caption[0].value and shown(app)["Dice"] == "0.664"
    app.selectbox(key="model").set_value("resunet_lite_t1ce").run()
    assert not app.exception  # it knows other pictures: its own evaluations are shown


def test_a_model_that_tells_kinds_alone_has_its_figures_and_its_confusion():
    app = open_app("metrics", model="resnet50_t1ce", evaluation="test")
    figures = find_model("resnet50_t1ce").summary("test")["metrics"]
    assert f"{figures['kind_accuracy']['value']:.3f}" in shown(app).values() and len(app.get("plotly_chart")) == 1


def test_a_damaged_table_is_named(copied_weights: Path):  # noqa: F811
    (copied_weights / FLAGSHIP / "evaluation" / "test" / "slices.csv").write_bytes(b'"\x00\xff,,\n"broken')
    for name in ("metrics", "cases"):
        app = open_app(name, evaluation="test")
        assert "slices.csv cannot be read" in plain_text(app.error[0].value)
    (copied_weights / "resunet" / "history.csv").write_text("")
    assert "history.csv cannot be read" in plain_text(open_app("training").error[0].value)


def test_cases_are_a_table_or_pictures():
    app = open_app("cases", evaluation="test")
    assert "wrong" in app.dataframe[0].value.columns
    app.segmented_control(key="case_view").set_value("Pictures").run()
    assert not app.exception and not app.dataframe and len(app.get("image")) == 1 + 16  # the case's own mask, and the page
    app.button(key="case_picture_5").click().run()
    assert not app.exception and any("Number 6 of" in caption.value for caption in app.caption)


def test_another_model_stands_beside_the_case():
    app = open_app("cases", evaluation="test")
    app.selectbox(key="beside").set_value("unet").run()
    assert not app.exception and "**U-Net**: Dice" in text_of(app)
