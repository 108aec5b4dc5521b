"""The exported graph: one file without weights that computes what the network computes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from resunet.catalogue import FLAGSHIP, STAGE_1, T1CE_MODEL, VOLUME_MODEL, find_model, list_models
from resunet.data.samples import SAMPLES, T1CE, load_samples
from resunet.data.slices import load
from resunet.data.sources import open_splits
from resunet.data.transforms import fit_to_grid, normalise
from resunet.errors import InputError
from resunet.files import file_sha256
from resunet.inference.runtime import Network
from resunet.inference.stages import Stage2
from resunet.model_folder import GRAPH_FILE, WEIGHTS_FILE, ModelFolder
from resunet.models import CLASSIFICATION, MODELS, OUTLINE_AND_KIND, load_network
from resunet.models.classifier import ExplainedClassifier
from resunet.models.export import export_graph, stored_tensors
from resunet.training.state import disk_tensors, save_tensors
from tests.conftest import model_config
from tests.test_models import lively

KINDS = ("meningioma", "glioma", "pituitary tumour")
ALONE = [name for name in list_models() if name not in (STAGE_1, "cnn_unet")]  # the ensemble runs its members

IN_APP = (FLAGSHIP, VOLUME_MODEL, T1CE_MODEL)
BUNDLED = ("resnet50", "resunet", "resunet_lite", "resunet_lite_3d", "resunet_lite_kind")
EACH = [pytest.param(name, marks=[] if name in BUNDLED else pytest.mark.slow) for name in MODELS]


@pytest.fixture(params=EACH)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Each architecture with weights, stored and exported."""
    return exported(request.param, tmp_path_factory.getbasetemp())


@cache
def exported(name: str, root: Path) -> ModelFolder:
    folder = ModelFolder(root / "exported" / name)
    save_tensors(folder.path / WEIGHTS_FILE, disk_tensors(lively(name)))
    task = "classification" if name in CLASSIFICATION else "segmentation"
    classes = KINDS if name in OUTLINE_AND_KIND else ()
    digests = {WEIGHTS_FILE: file_sha256(folder.path / WEIGHTS_FILE)}
    folder.write_config(model_config(name=name, architecture=name, task=task, classes=classes, input_size=96, sha256=digests))
    export_graph(folder)
    return folder


def network_of(folder: ModelFolder) -> torch.nn.Module:
    network = load_network(folder)
    return ExplainedClassifier(network).eval() if folder.config().task == "classification" else network


def test_the_graph_computes_what_the_network_computes(folder: ModelFolder):
    image = np.random.default_rng(0).standard_normal((96, 96, 3), np.float32)
    with torch.no_grad():
        expected = network_of(folder)(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
    outputs = Network(folder, 96, "float32")(image[None])
    for ours, theirs in zip(outputs, expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4 * float(theirs.abs().max()))


def test_the_graph_holds_no_weights_and_names_every_tensor_as_the_state_dict(folder: ModelFolder):
    graph = onnx.load(folder.path / GRAPH_FILE, load_external_data=False).graph
    stored = stored_tensors(folder.path / WEIGHTS_FILE)
    assert (folder.path / GRAPH_FILE).stat().st_size < 200_000
    assert {tensor.name for tensor in graph.initializer} == {name for name in stored if "num_batches" not in name}
    for tensor in graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        assert place["location"] == WEIGHTS_FILE and not tensor.raw_data
        assert (int(place["offset"]), int(place["length"])) == (stored[tensor.name].offset, stored[tensor.name].length)


def test_another_runtime_reads_the_pair_for_any_batch(folder: ModelFolder):
    session = onnxruntime.InferenceSession(str(folder.path / GRAPH_FILE), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).standard_normal((3, 3, 96, 96), np.float32)
    theirs = session.run(None, {"image": images})[0]
    ours = Network(folder, 96, "float32")(images.transpose(0, 2, 3, 1))[0]
    np.testing.assert_allclose(theirs, ours, atol=1e-3 * float(np.abs(ours).max()))


def test_a_damaged_or_missing_graph_is_named(tmp_path: Path):
    folder = ModelFolder(tmp_path / "mine")
    save_tensors(folder.path / WEIGHTS_FILE, lively("resunet").state_dict())
    folder.write_config(model_config(sha256={WEIGHTS_FILE: file_sha256(folder.path / WEIGHTS_FILE)}))
    with pytest.raises(InputError, match="has no model.onnx; run resunet export .*mine"):
        Stage2(folder)
    export_graph(folder)
    whole = (folder.path / GRAPH_FILE).read_bytes()
    (folder.path / GRAPH_FILE).write_bytes(whole[:-1] + b"x")
    with pytest.raises(InputError, match="model.onnx is damaged: its SHA-256"):
        Stage2(folder)
    (folder.path / GRAPH_FILE).write_bytes(b"no graph")
    folder.write_config(
        replace(folder.config(), sha256={**folder.config().sha256, GRAPH_FILE: file_sha256(folder.path / GRAPH_FILE)})
    )
    with pytest.raises(InputError, match="cannot be run .*resunet export"):
        Stage2(folder)


def test_exporting_again_gives_the_bundled_graph(tmp_path: Path):
    bundled, copy = find_model(FLAGSHIP), ModelFolder(tmp_path / FLAGSHIP)
    copy.path.mkdir()
    (copy.path / WEIGHTS_FILE).write_bytes((bundled.path / WEIGHTS_FILE).read_bytes())
    copy.write_config(bundled.config())
    export_graph(copy)
    assert (copy.path / GRAPH_FILE).read_bytes() == (bundled.path / GRAPH_FILE).read_bytes()


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in IN_APP else pytest.mark.slow) for name in ALONE])
def test_bundled_masks_agree_with_pytorch(name: str, kaggle: Path):
    assert agreement(name, kaggle) >= 0.999


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif("not os.environ.get('LGG_DATA')", reason="needs the LGG set")
@pytest.mark.parametrize("name", ALONE)
def test_masks_of_all_test_slices_agree_with_pytorch(name: str):
    assert agreement(name, None) >= 0.999


def images_for(stage_2: Stage2, data: Path | None) -> Iterator[np.ndarray]:
    """Normalised slices on the model's grid: of LGG's test split, or samples where the model knows one channel."""
    if stage_2.config.channels == 1:
        samples = load_samples(SAMPLES / T1CE)[::2]
        yield from (fit_to_grid(normalise(sample.image[..., :1]), stage_2.size) for sample in samples)
        return
    for record in open_splits(data).test:
        yield load(record, stage_2.size).image


def agreement(name: str, data: Path | None) -> float:
    """Dice between the masks of the runtime and those of PyTorch in float32, test slices pooled."""
    stage_2, network = Stage2(find_model(name)), load_network(find_model(name))
    both = total = 0
    for image in images_for(stage_2, data):
        with torch.no_grad():
            output = network(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
        logits = (output[0] if isinstance(output, tuple) else output)[0, 0]
        theirs = torch.sigmoid(logits).numpy() >= stage_2.threshold
        ours = stage_2(image).mean >= stage_2.threshold
        both, total = both + int((ours & theirs).sum()), total + int(ours.sum() + theirs.sum())
    return 2 * both / total if total else 1.0
