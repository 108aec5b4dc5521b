import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from openvino import Core

from resunet.catalogue import FLAGSHIP, STAGE_1, VOLUME_MODEL, find_model
from resunet.data.samples import SAMPLES as SAMPLE_FOLDER
from resunet.data.samples import load_samples
from resunet.data.transforms import normalise
from resunet.errors import InputError, NoContrastError
from resunet.inference import hardware
from resunet.inference.framing import RESAMPLED
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.predict_files import Choices, predict_files
from resunet.inference.stages import Stage1, Stage2, sigmoid
from resunet.inference.verdict import ScanSummary, verdict
from resunet.inference.windows import WINDOW, in_windows
from resunet.model_folder import ModelFolder
from resunet.models import load_network
from resunet.reading.scan import ONE_CHANNEL, checked_scan
from resunet.reports.case_report import report, score_slice
from tests.conftest import REPOSITORY, bundled

SAMPLES = {sample.name: sample for sample in load_samples()}
LARGE = SAMPLES["large_1"]


@pytest.fixture(scope="module")
def pipeline() -> TumourPipeline:
    return bundled()


def test_a_plain_tumour_is_found_and_outlined(pipeline: TumourPipeline):
    plain = [sample for sample in SAMPLES.values() if sample.kind in ("large", "typical")]
    predictions = [pipeline.predict(sample.image) for sample in plain]
    assert all(not prediction.gated for prediction in predictions)
    assert np.mean([score_slice(p.mask, s.mask).dice for p, s in zip(predictions, plain, strict=True)]) > 0.8


def test_a_prediction_is_plain_numpy_in_the_sizes_of_the_input(pipeline: TumourPipeline):
    prediction = pipeline.predict(LARGE.image[20:220, 10:250])
    assert prediction.mask.shape == prediction.probability.shape == prediction.grad_cam.shape == (200, 240)
    assert prediction.mask.dtype == bool and prediction.probability.dtype == np.float32
    assert prediction.probability.min() >= 0 and prediction.probability.max() <= 1
    assert 0 <= prediction.p_tumour <= 1 and prediction.grad_cam.max() <= 1
    assert set(prediction.seconds) == {"prepare", "stage_1", "stage_2"} and min(prediction.seconds.values()) > 0
    assert prediction.uncertainty is None


def test_pixels_that_are_not_square_are_made_so_for_the_networks(pipeline: TumourPipeline):
    squashed = LARGE.image[::2]  # rows twice as far apart as columns
    expected = pipeline.predict(LARGE.image)
    told, silent = pipeline.predict(squashed, spacing=(2.0, 1.0)), pipeline.predict(squashed)
    assert told.mask.shape == squashed.shape[:2] and RESAMPLED in told.notes and RESAMPLED not in silent.notes
    assert score_slice(told.mask, expected.mask[::2]).dice > max(0.95, score_slice(silent.mask, expected.mask[::2]).dice)


def test_a_volume_of_blank_and_full_slices_judges_the_full_ones(pipeline: TumourPipeline):
    scan = checked_scan("a.nii", np.stack([np.zeros_like(LARGE.image), LARGE.image]))
    summary = ScanSummary(scan)
    predictions = list(pipeline.predict_slices(scan.slices))
    for prediction in predictions:
        summary.add(prediction)
    content = summary.content()
    assert predictions[0] is None and content["verdict"] == "Tumour found" and content["slices"] == 2
    assert content["notes"] == ["1 of 2 slices have no contrast and were not judged."]
    empty = ScanSummary(scan)
    empty.add(None)
    with pytest.raises(NoContrastError, match=r"a\.nii holds nothing with contrast"):
        empty.content()


def test_a_volume_is_its_slices(pipeline: TumourPipeline):
    names = ("none_1", "large_1", "none_2")
    volume = list(pipeline.predict_slices(np.stack([SAMPLES[name].image for name in names])))
    for name, prediction in zip(names, volume, strict=True):
        alone = pipeline.predict(SAMPLES[name].image)
        assert prediction.p_tumour == alone.p_tumour
        np.testing.assert_array_equal(prediction.mask, alone.mask)


def test_the_gate_stops_and_can_be_moved(pipeline: TumourPipeline):
    prediction = pipeline.predict(LARGE.image, segment_all=True)
    stopped = prediction.with_thresholds(gate=1.0)
    assert stopped.gated and not stopped.mask.any()
    assert str(verdict(stopped)).startswith("Unclear") and "below the gate" in verdict(stopped).figures
    assert not stopped.with_thresholds(gate=0.0).gated
    assert stopped.with_thresholds(gate=0.0).mask.sum() == prediction.with_thresholds(gate=0.0).mask.sum()


def test_a_stopped_slice_was_not_segmented(pipeline: TumourPipeline):
    empty = min(SAMPLES.values(), key=lambda sample: pipeline.predict(sample.image).p_tumour)
    strict = TumourPipeline(pipeline.stage_2, pipeline.stage_1)
    strict.gate = 0.999999
    prediction = strict.predict(empty.image)
    assert prediction.gated and prediction.probability is None and "stage_2" not in prediction.seconds
    with pytest.raises(InputError, match="segment_all=True"):
        prediction.with_thresholds(gate=0.0)


def test_a_higher_threshold_never_grows_the_mask(pipeline: TumourPipeline):
    prediction = pipeline.predict(LARGE.image, segment_all=True)
    areas = [int(prediction.with_thresholds(threshold, 0.0).mask.sum()) for threshold in (0.05, 0.3, 0.6, 0.95)]
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1] > 0


def test_flips_agree_with_the_mean_and_give_uncertainty(pipeline: TumourPipeline):
    prediction = pipeline.predict(LARGE.image, segment_all=True, tta=True)
    mirrored = pipeline.predict(LARGE.image[:, ::-1], segment_all=True, tta=True)
    assert prediction.uncertainty is not None and prediction.uncertainty.max() > 0
    assert np.abs(mirrored.probability[:, ::-1] - prediction.probability).mean() < 1e-3


def test_one_channel_is_used_for_three(pipeline: TumourPipeline):
    prediction = pipeline.predict(LARGE.image[..., 1])
    assert prediction.notes == (ONE_CHANNEL,)
    tripled = pipeline.predict(np.repeat(LARGE.image[..., 1:2], 3, axis=-1))
    assert tripled.p_tumour == prediction.p_tumour and tripled.notes == ()


@pytest.mark.parametrize("shape", [(3,), (4, 64, 64, 3), (64, 64, 5), (8, 8, 3)])
def test_what_is_no_slice_is_refused(pipeline: TumourPipeline, shape: tuple[int, ...]):
    with pytest.raises(InputError, match="The image"):
        pipeline.predict(np.ones(shape))


@pytest.mark.slow
def test_the_default_formats_outline_what_float32_outlines(pipeline: TumourPipeline):
    exact = TumourPipeline.load(precision="float32")
    hits = totals = 0
    for sample in SAMPLES.values():
        a, b = exact.predict(sample.image), pipeline.predict(sample.image)
        hits += 2 * int((a.mask & b.mask).sum())
        totals += int(a.mask.sum() + b.mask.sum())
        assert a.p_tumour == pytest.approx(b.p_tumour, abs=0.05)
    assert hits / totals >= 0.999


def test_threads_share_one_pipeline(pipeline: TumourPipeline):
    names = ["large_1", "typical_1", "none_1", "cavity_1"]
    alone = {name: pipeline.predict(SAMPLES[name].image).p_tumour for name in names}
    together: dict[str, float] = {}
    threads = [
        threading.Thread(target=lambda name=name: together.update({name: pipeline.predict(SAMPLES[name].image).p_tumour}))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_models_load_while_others_load_and_predict(pipeline: TumourPipeline):
    alone = pipeline.predict(LARGE.image).p_tumour
    results: list[float] = []

    def load_and_predict() -> None:
        results.append(TumourPipeline.load("resunet").predict(LARGE.image).p_tumour)

    threads = [threading.Thread(target=load_and_predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    results.extend(pipeline.predict(LARGE.image).p_tumour for _ in range(8))
    for thread in threads:
        thread.join()
    assert results == [alone] * 12


def test_a_model_without_a_gate_is_not_gated_by_a_classifier_of_other_data(tmp_path: Path):
    folder = ModelFolder(shutil.copytree(find_model("resunet").path, tmp_path / "liver"))
    folder.write_config(replace(folder.config(), gate=None))
    prediction = TumourPipeline.load(folder.path).predict(LARGE.image)
    assert np.isnan(prediction.p_tumour) and not prediction.gated and prediction.mask.any()
    assert str(verdict(prediction)).startswith("Tumour found. Stage 2 alone, ")
    assert json.loads(report("a.png", prediction, "liver", None, None))["p_tumour"] is None
    (line,) = predict_files([SAMPLE_FOLDER / "images" / "large_1.png"], tmp_path, str(folder.path), Choices())
    assert line["p_tumour"] is None and line["tumour_pixels"] == prediction.mask.sum()


def test_models_of_the_wrong_kind_are_refused():
    with pytest.raises(InputError, match="not a stage 2 model"):
        Stage2(find_model(STAGE_1))
    with pytest.raises(InputError, match="not a stage 1 model"):
        Stage1(find_model(FLAGSHIP))
    with pytest.raises(InputError, match="no model 'nonsense'.*resnet50"):
        TumourPipeline.load("nonsense")


def test_an_ensemble_averages_its_members_by_share():
    ensemble, image = Stage2(find_model("cnn_unet")), normalise(LARGE.image)
    members = [Stage2(find_model(name))(image).mean for name in ("cnn", "unet")]
    first, second = find_model("cnn_unet").config().fusion.shares
    np.testing.assert_allclose(ensemble(image).mean, first * members[0] + second * members[1], atol=1e-6)


def test_sigmoid_neither_overflows_nor_loses_its_ends():
    values = sigmoid(np.float32([-200, -2, 0, 2, 200]))
    np.testing.assert_allclose(values, [0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-2)), 1], atol=1e-7)


def test_stage_1_runs_in_bfloat16_where_the_processor_has_it():
    native = "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    image = np.ones((256, 256, 3), np.float32) * np.linspace(-1, 2, 256, dtype=np.float32)[:, None, None]
    default, exact = (Stage1(find_model(STAGE_1), precision)(image)[0] for precision in (None, "float32"))
    assert (default != exact) == native and default == pytest.approx(exact, abs=0.05)


SAVES_MEMORY = """
import tempfile
from pathlib import Path
import numpy as np
from resunet.data.samples import load_samples
from resunet.inference.pipeline import TumourPipeline

def anonymous():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1e3

def full():
    raise OSError(28, "No space left on device")

pipeline, image = TumourPipeline.load(), load_samples()[0].image
before, held = pipeline.predict(image), anonymous()
pipeline.save_memory()
after = pipeline.predict(image)
assert held - anonymous() > 60, (held, anonymous())
assert after.p_tumour == before.p_tumour and np.array_equal(after.grad_cam, before.grad_cam)
kept, tempfile.TemporaryFile = tempfile.TemporaryFile, full
pipeline.save_memory()
assert pipeline.predict(image).p_tumour == before.p_tumour
def refused(*arguments): raise RuntimeError("the blob is of another version")
from resunet.inference import runtime
tempfile.TemporaryFile, runtime._tensor = kept, refused
pipeline.save_memory()
assert pipeline.predict(image).p_tumour == before.p_tumour
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_saved_memory_changes_no_number():
    subprocess.run([sys.executable, "-c", SAVES_MEMORY], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize(("quota", "threads"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None)])
def test_threads_follow_the_quota_of_the_container(
    quota: str, threads: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(hardware, "CGROUP_V2", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(quota)
    cores = len(os.sched_getaffinity(0))
    assert hardware.thread_count() == min(cores, threads or cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert hardware.thread_count() == 7


def test_a_processor_is_named_with_the_cores_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    assert hardware.processor_name().startswith("3 cores of ")  # whatever the platform says
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast One\nmodel name\t: Fast Two\n")
    assert hardware.processor_name() == "3 cores of Fast One"


BLOCKED = """
import sys
from pathlib import Path
class Blocked:  # not a None in sys.modules, from which SciPy concludes that PyTorch is loaded
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
"""
PREDICT = """
from resunet.cli.main import main
assert main(["predict", "resunet/data/samples/images/large_1.png", "--out", str(Path.home())]) == 0
"""
VISIT = """
from streamlit.testing.v1 import AppTest
screens = [path for path in sorted(Path("pages").glob("*/*.py")) if path.parent.name != "common"]
for path in screens:
    app = AppTest.from_file("app.py", default_timeout=120).run().switch_page(str(path)).run()
    assert not app.exception and not app.error, (path, app.exception, app.error)
print(len(screens), [name for name in sys.modules if name.startswith("torch")])
"""

# What the import of OpenVINO would report is sent in a process of its own: every socket that is opened is seen from outside.
SILENT = """
import socket, subprocess, sys
called = []
sys.addaudithook(lambda event, arguments: called.append(event) if event in WATCHED else None)
WATCHED = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "os.posix_spawn"}
from resunet.inference.framing import RESAMPLED
from resunet.inference.pipeline import TumourPipeline
TumourPipeline.load()
print(called, sys.modules["openvino_telemetry"])
"""


def run_alone(code: str, home: Path) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout.strip()


def test_predict_works_where_torch_cannot_be_imported(tmp_path: Path):
    assert json.loads(run_alone(BLOCKED + PREDICT, tmp_path))["tumour_pixels"] > 0
    assert (tmp_path / "large_1_mask.png").exists()


@pytest.mark.slow
def test_every_screen_works_where_torch_cannot_be_imported(tmp_path: Path):
    assert run_alone(BLOCKED + VISIT, tmp_path) == "11 []"


def test_openvino_reports_to_nobody(tmp_path: Path):
    assert run_alone(SILENT, tmp_path) == "[] None"
    assert not list(tmp_path.iterdir())  # nor does it note anything in the home folder


@pytest.mark.parametrize("count", [1, 7, 16, 17, 24, 40])
@pytest.mark.parametrize(("halo", "length"), [(0, 1), (4, 16), (2, 5)])
def test_windows_give_what_the_whole_sequence_gives(count: int, halo: int, length: int):
    """A running mean stands for the network: its ends differ where a window ends, as those of a padded convolution do."""
    slices = np.random.default_rng(count).random((count, 3), np.float32)
    sizes = []

    def mean_of_neighbours(window: np.ndarray) -> np.ndarray:
        sizes.append(len(window))
        padded = np.pad(window, ((halo, halo), (0, 0)))
        return np.stack([padded[row : row + 2 * halo + 1].sum(axis=0) for row in range(len(window))])

    expected = mean_of_neighbours(slices)
    sizes.clear()
    results = list(in_windows(iter(slices), count, mean_of_neighbours, halo, length))
    np.testing.assert_allclose(results, expected, rtol=1e-6)
    assert len(set(sizes)) == 1 and sizes[0] <= length  # one length, for which the network is compiled


@pytest.mark.slow
def test_a_volume_in_windows_gives_the_networks_maps_of_the_whole():
    """46 slices, more than a window holds, some of them above and below the head."""
    images = [normalise(np.asarray(sample.image)) for sample in load_samples()]
    images = [np.zeros_like(images[0])] * 4 + images + images[:18]
    folder = find_model(VOLUME_MODEL)
    whole = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        expected = torch.sigmoid(load_network(folder)(whole))[:, 0].numpy()
        alone = torch.sigmoid(load_network(folder)(whole[20:21]))[0, 0].numpy()
    stage_2 = Stage2(folder)
    assert len(images) > WINDOW
    maps = np.stack([output.mean for output in stage_2.volume(iter(images), len(images))])
    assert np.abs(maps - expected).max() < 1e-3
    assert np.abs(stage_2(images[20]).mean - alone).max() < 1e-3 < np.abs(maps[20] - alone).max()


def test_the_verdict_gives_square_millimetres_where_the_file_says_how_large_pixels_are():
    prediction = bundled().predict(LARGE.image)
    area = int(prediction.mask.sum())
    assert f"{area:,} pixels, " in verdict(prediction).figures
    assert f"{area:,} pixels ({area * 0.45:,.0f} mm²), " in verdict(prediction, (0.5, 0.9)).figures
