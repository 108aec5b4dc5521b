import numpy as np
import pandas as pd
import pytest

from resunet.catalogue import find_model, list_models
from resunet.charts import comparison_charts as comparison
from resunet.charts import history_curves, kind_charts, stage_1, style
from resunet.charts import metric_charts as metrics
from resunet.charts.chart_files import chart_table
from resunet.charts.patient_wall import LARGEST, QUARTERS, patient_wall, size_quarters, wall_title
from resunet.charts.training_curves import curves
from resunet.evaluation.aggregate import summarise_segmentation
from resunet.evaluation.compare import paired_table
from resunet.evaluation.definitions import DEFINITIONS, LABELS
from resunet.evaluation.error_breakdown import error_breakdown
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.filters import select_slices, sites_of
from resunet.evaluation.overlap import volume_dice
from resunet.reports.latex import latex_table
from tests.test_compare import evaluation_of, fake_slices
from tests.test_evaluation import TABLE

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3, 4],
        "lr": [0.1, 0.08, 0.04, 0.01],
        "train_loss": [1.0, 0.5, 0.4, 0.3],
        "val_loss": [1.1, 0.6, 0.55, 0.6],
        "val_dice": [0.2, 0.6, 0.7, 0.65],
        "val_iou": [0.1, 0.4, 0.5, 0.45],
    }
)


def test_every_figure_has_a_label_and_a_definition():
    assert set(LABELS) == set(DEFINITIONS)


def test_every_model_has_a_colour_of_its_own_and_its_runs_share_it():
    colours = [style.model_colour(name) for name in (*list_models(), "somebody_elses", "another_ones")]
    assert len(set(colours)) == len(colours)
    assert style.model_colour("resunet_bce_seed2") == style.model_colour("resunet") == style.model_colour("runs/resunet")
    assert style.model_colour("resunet_lite_3d_fold3") == style.model_colour("resunet_lite_3d") != style.model_colour("resunet")


def test_patient_chart_shows_each_patient_once_with_its_dice_and_worst_slice():
    figure = metrics.patient_dice(TABLE)
    points = {name: y for trace in figure.data for (name, *_), y in zip(trace.customdata, trace.y, strict=True)}
    assert points == pytest.approx({"a": 0.6, "b": 0.0})
    assert "n = 2" in figure.data[0].name
    table = metrics.patient_table(TABLE).set_index("patient")
    wrong = (TABLE["fp"] + TABLE["fn"])[TABLE["patient"] == "a"]
    assert table.loc["a", "worst_slice"] == TABLE.loc[wrong.idxmax(), "slice"]


def test_a_patients_name_is_text_in_hover_text():
    table = TABLE.assign(patient=TABLE["patient"].replace("a", "<a href='x'>a</a>"))
    for figure in (metrics.patient_dice(table), metrics.slice_dice(table), metrics.distribution(table)):
        for trace in figure.data:
            assert "%{customdata[0]}" not in trace.hovertemplate
            assert not [shown for *_, shown in trace.customdata if "<" in shown]
        assert "<a href='x'>a</a>" in {name for trace in figure.data for name, *_ in trace.customdata}


def test_aggregations_show_the_figures_of_the_summary_and_the_floor():
    slices = fake_slices(0.9)
    figures = summarise_segmentation(slices)
    figure = metrics.aggregations(slices, figures)
    assert list(figure.data[0].y) == pytest.approx([figures[name]["value"] for name in metrics.AGGREGATIONS])
    assert list(figure.data[1].y) == pytest.approx([0, 0, 0, 1 / 3])  # a third of the slices is empty


def test_distribution_and_error_breakdown_hold_every_case():
    slices = fake_slices(0.9)
    names = slices["patient"].unique()
    for group in (None, dict.fromkeys(names[:6], "one")):
        boxes = metrics.distribution(slices, group, "Half").data
        assert [len(box.y) for box in boxes] == [12, 24]
    assert list(boxes[0].x).count("one") == 6 and list(boxes[0].x).count("not known") == 6
    pixels = error_breakdown(slices, 0.5)
    bars = metrics.error_breakdown(pixels).data
    assert sum(bar.x[0] for bar in bars if bar.y[0] == "Tumour pixels") == pixels["tumour"]


def test_stage_1_charts_hold_the_counts():
    slices = fake_slices(0.9)  # slices 1 empty at 0.2, 2 tumour at 0.2, 3 tumour at 0.9
    texts = stage_1.confusion(slices, 0.5).data[0].text
    assert [int(text.split("</b>")[0][3:]) for text in texts] == [12, 12, 0, 12]
    assert stage_1.roc(slices, 0.5).data[-1].y[0] == 0.5 == stage_1.precision_recall(slices, 0.5).data[-1].x[0]
    bins = stage_1.reliability(slices).data[1]
    assert list(bins.x) == pytest.approx([0.2, 0.9]) and list(bins.y) == pytest.approx([0.5, 1.0])


def test_smoothing_keeps_constants_and_follows_the_formula():
    np.testing.assert_allclose(history_curves.smooth(np.full(5, 0.3), 0.9), 0.3)
    np.testing.assert_allclose(history_curves.smooth(np.array([1.0, 2.0]), 0.5), [1.0, (0.25 * 1 + 0.5 * 2) / 0.75])
    np.testing.assert_array_equal(history_curves.smooth(np.array([1.0, 5.0]), 0.0), [1.0, 5.0])


def test_the_curves_hold_the_whole_history_smoothed_and_on_a_scale():
    figure = curves({"resunet": HISTORY}, {"resunet": "ResUNet"})
    (line,) = [trace for trace in figure.data if trace.name == "ResUNet, validation dice"]
    assert list(line.y) == [0.2, 0.6, 0.7, 0.65] and figure.layout.yaxis.type is None
    assert history_curves.best_epoch(HISTORY) == 3 and {shape.x0 for shape in figure.layout.shapes} == {3}
    smooth = curves({"resunet": HISTORY}, {"resunet": "ResUNet"}, 0.6, log_loss=True)
    (line,) = [trace for trace in smooth.data if trace.name == "ResUNet, validation dice"]
    assert list(line.y) == pytest.approx(history_curves.smooth(np.array([0.2, 0.6, 0.7, 0.65]), 0.6))
    assert smooth.layout.yaxis.type == "log" and smooth.layout.yaxis2.type is None


def test_several_runs_and_a_classifier_share_their_panels():
    classifier = HISTORY.drop(columns=["val_dice", "val_iou"]).assign(val_accuracy=0.9, val_auroc=[0.7, 0.8, 0.9, 0.85])
    histories = {"resunet": HISTORY, "resnet50": classifier.iloc[:2]}
    figure = curves(histories, {name: name for name in histories})
    assert history_curves.panels_of({"a": HISTORY, "b": classifier}) == list(history_curves.CURVES)
    assert len(figure.layout.shapes) == 2 * len(history_curves.CURVES)


def test_filters_keep_what_they_say():
    slices = fake_slices(0.9).replace({"patient": {"P00": "TCGA_CS_1", "P01": "TCGA_DU_2"}})
    known = slices[slices["patient"].str.startswith("TCGA")]
    assert sites_of(slices) == ["CS", "DU"]
    assert set(select_slices(known, sites=["CS"])["patient"]) == {"TCGA_CS_1"}
    assert (select_slices(slices, shows="without tumour")["tumour_pixels"] == 0).all()
    kept = select_slices(slices, sizes=["over 1,500 px", "150 to 500 px"])["tumour_pixels"]
    assert ((kept > 150) & (kept <= 500)).all() and len(kept)
    assert select_slices(slices, worst=2)["patient"].nunique() == 2
    assert len(select_slices(slices)) == len(slices)


def test_the_front_leaves_out_what_a_cheaper_model_beats():
    points = [(1.0, 0.8, "a"), (2.0, 0.7, "b"), (3.0, 0.9, "c"), (3.0, 0.85, "d")]
    assert [name for _, _, name in comparison.pareto_front(points)] == ["a", "c"]


def test_comparison_charts_hold_every_model_and_patient():
    slices = {"resunet": fake_slices(0.9), "unet": fake_slices(0.7, seed=1), "cnn": fake_slices(0.8, seed=2)}
    labels = {"resunet": "ResUNet", "unet": "U-Net", "cnn": "CNN"}
    evaluations = {name: evaluation_of(table, name, labels[name]) for name, table in slices.items()}
    costs = {name: float(index) for index, name in enumerate(slices, start=1)}
    line, dots = comparison.cost_against_dice(costs, evaluations, "parameters", "resunet").data
    assert list(line.x) == [1] and list(dots.x) == [1, 2, 3] and dots.marker.color == (style.BLUE, style.GREY, style.GREY)
    assert dots.text == dots.customdata == ("ResUNet", "U-Net", "CNN")
    near = comparison.cost_against_dice(
        costs | {"cnn": 2.0, "unet": 2.0}, evaluations | {"cnn": evaluations["unet"]}, "gflop", "cnn"
    )
    assert sorted(near.data[1].text) == ["", "ResUNet", "U-Net<br>U-Net"]  # dots that touch share a label
    assert len(comparison.cost_against_dice({"unet": 1.0}, evaluations, "latency", "cnn").data[1].x) == 1
    paired = paired_table(slices, "resunet")
    marks = comparison.forest(paired, labels, "ResUNet").data[0]
    assert list(marks.y) == ["U-Net", "CNN"] and max(marks.x) < 0  # the worst first, all behind the reference
    points = comparison.patient_by_patient(evaluations["unet"], evaluations["resunet"]).data[1]
    assert len(points.x) == 12 and all(y > x for x, y in zip(points.x, points.y, strict=True))
    others, one = comparison.lesions_by_size(evaluations, "resunet").data
    assert (len(others.y), len(one.y), one.name) == (8, 4, "ResUNet") and others.customdata == ("U-Net",) * 4 + ("CNN",) * 4


def test_dice_over_the_threshold_passes_through_what_validation_chose():
    evaluation = Evaluation.stored(find_model("resunet_lite"), "test")
    line, chosen = comparison.dice_by_threshold([evaluation]).data
    at = list(line.x).index(evaluation.threshold)
    assert line.y[at] == pytest.approx(evaluation.summary["metrics"]["volume_dice_mean"]["value"], abs=1e-9)
    for threshold, mean in zip(line.x, line.y, strict=True):
        assert mean == pytest.approx(volume_dice(evaluation.at(threshold).slices).mean(), abs=1e-12)
    assert chosen.x[0] == find_model("resunet_lite").config().threshold and chosen.y[0] == pytest.approx(line.y[at], abs=1e-9)


def test_a_table_for_a_paper_is_escaped_and_its_best_row_bold():
    table = pd.DataFrame({"Model": ["a_b", "c & d"], "Dice": ["0.9 [0.8, 1]", "50 %"]})
    lines = latex_table(table, r"95 \% of $x$", pd.Series([False, True])).splitlines()
    assert (
        lines[1] == r"\caption{95 \% of $x$}" and lines[3] == r"\toprule" and lines[-2:] == [r"\end{tabular}", r"\end{table}"]
    )
    assert lines[6] == r"a\_b & 0.9 [0.8, 1] \\" and lines[7] == r"\textbf{c \& d} & \textbf{50 \%} \\"


def test_reliability_counts_every_slice_in_the_bin_that_its_mean_is_of():
    p_tumour = np.array([0.0, 0.1, 0.1, 0.2, 0.95, 1.0])  # edges belong to the bin above, 1 to the last
    slices = pd.DataFrame({"tumour_pixels": [0, 0, 9, 9, 9, 9], "p_tumour": p_tumour})
    drawn = stage_1.reliability(slices).data[1]
    assert list(drawn.customdata) == [1, 2, 1, 2] and sum(drawn.customdata) == len(slices)
    assert list(drawn.x) == pytest.approx([0.0, 0.1, 0.2, 0.975]) and list(drawn.y) == pytest.approx([0, 0.5, 1, 1])


def test_the_curves_csv_holds_every_curve_once():
    table = chart_table(curves({"mine": HISTORY}, {"mine": "Mine"}))
    columns = ["train_loss", "val_loss", "val_dice", "val_iou", "lr"]
    assert len(table) == len(columns) * len(HISTORY) and not table.duplicated(["series", "x", "y"]).any()
    assert list(table["y"]) == [value for column in columns for value in HISTORY[column]]


def test_the_wall_orders_patients_and_says_who_lies_above_the_readers():
    rows = [("a", 100, 50, 0, 50), ("b", 400, 380, 20, 20), ("c", 900, 100, 0, 800), ("d", 0, 0, 5, 0)]
    slices = pd.DataFrame(rows, columns=["patient", "tumour_pixels", "tp", "fp", "fn"]).assign(slice=1)
    figure = patient_wall(slices, readers=0.84)
    (dots,) = figure.data
    assert [row[0] for row in dots.customdata] == ["c", "a", "b"]  # worst first; d shows no tumour
    assert dots.y.tolist() == pytest.approx([200 / 1000, 100 / 150, 760 / 800])
    assert [list(row[3:]) for row in dots.customdata] == [["11%", "0%"], ["50%", "0%"], ["95%", "5%"]]
    assert dots.marker.size[0] == LARGEST and len(set(dots.marker.color)) == 2
    assert wall_title(slices, 0.84) == "1 of 3 patients are outlined more closely than two human readers agree (0.84)"
    grouped = patient_wall(slices, None, {"a": "x", "b": "y"}).data[0]
    assert [row[0] for row in grouped.customdata] == ["c", "a", "b"] and len(set(grouped.x)) == 3
    assert size_quarters(slices) == {"a": QUARTERS[1], "b": QUARTERS[2], "c": QUARTERS[3]}


def test_kinds_are_shown_by_tumour_and_plane_as_the_folds_say():
    evaluation = Evaluation.stored(find_model("resunet_lite_t1ce"), "cross_validated")
    dice, right = kind_charts.tumour_and_plane(evaluation.slices).data
    metrics = evaluation.summary["metrics"]
    assert dice.x[0] == pytest.approx(metrics["tumour_slice_dice"]["value"], abs=1e-9)
    assert right.x[0] == pytest.approx(metrics["kind_accuracy"]["value"], abs=1e-9) and len(dice.y) == 1 + 3 + 3 + 9
    cells = kind_charts.confused_kinds(evaluation.slices).data[0]
    counts = [int(text.removeprefix("<b>").removesuffix("</b>").replace(",", "")) for text in cells.text]
    assert sum(counts) == len(evaluation.slices)
    assert sum(counts[::4]) / sum(counts) == pytest.approx(metrics["kind_accuracy"]["value"])


def test_the_ladder_has_the_best_on_top_and_greys_what_is_worse():
    evaluations = {name: evaluation_of(fake_slices(dice), name) for name, dice in (("a", 0.7), ("b", 0.9), ("c", 0.8))}
    (dots,) = comparison.ladder(evaluations, {"a": "worse", "c": "no significant difference"}, "b").data
    assert list(dots.x) == sorted(dots.x) and len(set(dots.marker.color)) == 3 and dots.marker.color[0] == style.GREY
