"""One slice through both stages: ours beside plain PyTorch, ONNX Runtime, OpenVINO and what the arithmetic needs.

    python -m benchmarks.latency [--rounds 30] [--threads N]

Every contender runs the same two networks with the same weights, once a round and in turn, so that a machine that slows
down slows all of them; the table gives medians over rounds. "Needed" is the networks' floating-point operations over the
rate of a large matrix product measured in the same run. ONNX Runtime and OpenVINO are development dependencies.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from resunet.data.samples import load_samples
from resunet.engine import Engine, ExplainedClassifier
from resunet.hub import FLAGSHIP, STAGE_1, find_model
from resunet.models import count_gflop
from resunet.models.classifier import ResNet50Classifier
from resunet.pipeline import TumourPipeline
from resunet.runtime import configure_threads
from resunet.stages import load_model

CPU = torch.device("cpu")
Contender = Callable[[], object]


def matrix_rate(dtype: torch.dtype, size: int = 2048, repeats: int = 12) -> float:
    """GFLOP/s of the fastest of some size x size matrix products."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def plain_pytorch(models: list[nn.Module], inputs: list[torch.Tensor]) -> Contender:
    """The networks as they come out of load_state_dict: float32, eager, no folding."""

    def run() -> None:
        with torch.no_grad():
            for model, image in zip(models, inputs, strict=True):
                model(image)

    return run


def ours(models: list[nn.Module], inputs: list[torch.Tensor], dtype: torch.dtype) -> Contender:
    """The engines that the pipeline runs."""
    engines = [Engine(copy.deepcopy(model), image.shape[-1], CPU, dtype) for model, image in zip(models, inputs, strict=True)]
    return lambda: [engine(image) for engine, image in zip(engines, inputs, strict=True)]


def export(models: list[nn.Module], inputs: list[torch.Tensor], folder: Path) -> list[Path]:
    """The networks as ONNX files."""
    paths = []
    for number, (model, image) in enumerate(zip(models, inputs, strict=True)):
        paths.append(folder / f"stage_{number}.onnx")
        torch.onnx.export(model, (image,), paths[-1], input_names=["image"], dynamo=False)
    return paths


def onnx_runtime(paths: list[Path], inputs: list[torch.Tensor], threads: int) -> Contender:
    """ONNX Runtime on the CPU, all graph optimisations, float32 (it has no bfloat16 convolution there)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    sessions = [onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in paths]
    feeds = [{"image": image.numpy()} for image in inputs]
    return lambda: [session.run(None, feed) for session, feed in zip(sessions, feeds, strict=True)]


def openvino(paths: list[Path], inputs: list[torch.Tensor], threads: int, precision: str) -> Contender:
    """OpenVINO on the CPU with its latency hint."""
    import openvino

    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    compiled = [core.compile_model(core.read_model(path), "CPU", settings) for path in paths]
    requests = [model.create_infer_request() for model in compiled]
    feeds = [image.numpy() for image in inputs]
    return lambda: [request.infer([feed]) for request, feed in zip(requests, feeds, strict=True)]


def race(contenders: dict[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round; two rounds of warm-up are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 2):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            if number >= 2:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def mask_agreement() -> float:
    """Dice between the masks of float32 and bfloat16 over all bundled samples together."""
    images = np.stack([sample.image for sample in load_samples()])
    exact = list(TumourPipeline.load(dtype=torch.float32).predict_volume(images))
    rounded = list(TumourPipeline.load(dtype=torch.bfloat16).predict_volume(images))
    both = sum(int((a.mask & b.mask).sum()) for a, b in zip(exact, rounded, strict=True))
    total = sum(int(a.mask.sum() + b.mask.sum()) for a, b in zip(exact, rounded, strict=True))
    return 2 * both / total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    threads = configure_threads()
    folders = [find_model(STAGE_1), find_model(FLAGSHIP)]
    classifier, segmenter = (load_model(folder) for folder in folders)
    assert isinstance(classifier, ResNet50Classifier)
    models: list[nn.Module] = [ExplainedClassifier(classifier).eval(), segmenter]
    sizes = [int(folder.config()["input_size"]) for folder in folders]
    inputs = [torch.randn(1, 3, size, size) for size in sizes]
    gflop = sum(count_gflop(model, size) for model, size in zip((classifier, segmenter), sizes, strict=True))
    rates = {torch.float32: matrix_rate(torch.float32), torch.bfloat16: matrix_rate(torch.bfloat16)}

    with tempfile.TemporaryDirectory() as folder:
        paths = export(models, inputs, Path(folder))
        pipeline, image = TumourPipeline.load(), load_samples()[3].image
        contenders: dict[str, Contender] = {
            "plain PyTorch, float32 eager": plain_pytorch(models, inputs),
            "ours, float32": ours(models, inputs, torch.float32),
            "ours, bfloat16": ours(models, inputs, torch.bfloat16),
            "ONNX Runtime, float32": onnx_runtime(paths, inputs, threads),
            "OpenVINO, float32": openvino(paths, inputs, threads, "f32"),
            "OpenVINO, bfloat16": openvino(paths, inputs, threads, "bf16"),
            "whole pipeline, predict()": lambda: pipeline.predict(image, segment_all=True),
        }
        seconds = race(contenders, options.rounds)

    print(f"{threads} threads; {gflop:.2f} GFLOP a slice (stage 1 at {sizes[0]}, stage 2 at {sizes[1]} pixels)")
    for dtype, rate in rates.items():
        print(f"matrix product {str(dtype).removeprefix('torch.')}: {rate:.0f} GFLOP/s, so {gflop / rate * 1e3:.1f} ms needed")
    plain = statistics.median(seconds["plain PyTorch, float32 eager"])
    print(f"\n| contender | median ms | best ms | times needed | times faster than plain |\n|{' --- |' * 5}")
    for name, values in seconds.items():
        exact = "float32" in name
        needed = gflop / rates[torch.float32 if exact else torch.bfloat16]
        middle = statistics.median(values)
        print(f"| {name} | {middle * 1e3:.1f} | {min(values) * 1e3:.1f} | {middle / needed:.2f} | {plain / middle:.2f} |")
    print(f"\nDice between the masks of float32 and bfloat16, 24 samples pooled: {mask_agreement():.5f}")


if __name__ == "__main__":
    main()
