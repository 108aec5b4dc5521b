"""From a trained network to the graph that inference runs: model.onnx beside model.safetensors.

The graph holds no weights. Each of its initialisers is ONNX external data that points into the one model.safetensors, under
the name that the tensor has there; a float16 one stands behind a Cast.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from onnx import GraphProto, ModelProto, TensorProto, helper
from onnx.external_data_helper import set_external_data
from torch import nn

from resunet.errors import InputError
from resunet.files import atomic_path, file_sha256
from resunet.model_folder import GRAPH_FILE, WEIGHTS_FILE, ModelFolder
from resunet.models import load_network
from resunet.models.classifier import ExplainedClassifier, ResNet50Classifier

OPSET = 17
WRAPPER = "classifier."  # what ExplainedClassifier puts before the names of the network's tensors
ONNX_TYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
OUTPUTS = {"segmentation": ["logits"], "classification": ["logit", "grad_cam", "texture"]}
KIND = "kind"  # further output of a network that outlines and tells the kind


class StoredTensor(NamedTuple):
    """A tensor of a safetensors file: its type there, its shape, and which bytes of the file hold it."""

    type: str
    shape: list[int]
    offset: int
    length: int


def export_graph(folder: ModelFolder) -> Path:
    """Write model.onnx of a folder with weights, and its SHA-256 into config.json; returns its path.

    Raises:
        InputError: configuration or weights are missing, damaged or do not belong together; or the folder is an ensemble's,
            which runs its members' graphs.
    """
    config = folder.config()
    if config.fusion:
        raise InputError(
            f"{config.name} is an ensemble without a graph of its own; export {' and '.join(config.fusion.members)}."
        )
    network = load_network(folder)
    if isinstance(network, ResNet50Classifier):
        network = ExplainedClassifier(network).eval()
    outputs = OUTPUTS[config.task] + ([KIND] if config.classes and config.task == "segmentation" else [])
    model = trace(network, config.input_size, outputs, config.channels)
    point_to_weights(model.graph, stored_tensors(folder.path / WEIGHTS_FILE))
    with atomic_path(folder.path / GRAPH_FILE) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(temporary)
    folder.write_config(replace(config, sha256={**config.sha256, GRAPH_FILE: file_sha256(folder.path / GRAPH_FILE)}))
    return folder.path / GRAPH_FILE


def trace(network: nn.Module, size: int, outputs: list[str], channels: int = 3) -> ModelProto:
    """The network's graph for images (B, channels, size, size), weights inside, nothing folded; names as in the state dict."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # the exporter's advice to its own developers
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(1, channels, size, size),),
            path,
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={"image": {0: "batch"}} | {name: {0: "batch"} for name in outputs},
            opset_version=OPSET,
            # The exporter that follows the code by running it keeps the names; the newer one takes ten times as long.
            dynamo=False,
            # Folding would make new tensors, which would have to be stored a second time.
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
        return onnx.load(path)


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """What a safetensors file holds: eight bytes with the length of a JSON header, the header, then the tensors' bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    start = 8 + length
    return {
        name: StoredTensor(entry["dtype"], entry["shape"], start + begin, end - begin)
        for name, entry in header.items()
        if name != "__metadata__"
        for begin, end in [entry["data_offsets"]]
    }


def point_to_weights(graph: GraphProto, stored: dict[str, StoredTensor]) -> None:
    """Replace every initialiser of `graph` by a reference into model.safetensors, in place.

    Raises:
        KeyError: an initialiser is not in the file.
    """
    casts = []
    for initialiser in graph.initializer:
        traced = initialiser.name
        name = initialiser.name.removeprefix(WRAPPER)
        tensor = stored[name]
        is_half = tensor.type == "F16"
        initialiser.CopyFrom(reference(name, tensor))
        used_as = f"{name}.float32" if is_half else name
        for node in graph.node:
            node.input[:] = [used_as if input_name == traced else input_name for input_name in node.input]
        if is_half:
            casts.append(helper.make_node("Cast", [name], [used_as], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def reference(name: str, tensor: StoredTensor) -> TensorProto:
    """An initialiser whose values lie in model.safetensors."""
    proto = TensorProto(name=name, dims=tensor.shape, data_type=ONNX_TYPES[tensor.type], raw_data=b"")
    set_external_data(proto, WEIGHTS_FILE, tensor.offset, tensor.length)
    proto.ClearField("raw_data")
    return proto
