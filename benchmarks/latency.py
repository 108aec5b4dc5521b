"""One slice through both stages: ours beside plain PyTorch, ONNX Runtime and what the arithmetic needs.

    python -m benchmarks.latency [--rounds 30]

Every contender runs the same two networks with the same weights, once a round and in turn, so that a machine that slows
down slows all of them; the table gives medians over rounds. "Needed" is the networks' floating-point operations over the
rate of a large matrix product measured in the same run: all of them in one number format, and with each stage in the format
that it runs in. ONNX Runtime is a development dependency.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from resunet.catalogue import FLAGSHIP, STAGE_1, find_model
from resunet.data.samples import load_samples
from resunet.inference.hardware import thread_count
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.runtime import Network, Precision, has_bfloat16
from resunet.model_folder import GRAPH_FILE
from resunet.models import load_network
from resunet.models.classifier import ExplainedClassifier, ResNet50Classifier

Contender = Callable[[], object]
FOLDERS = [find_model(STAGE_1), find_model(FLAGSHIP)]
SIZES = [folder.config().input_size for folder in FOLDERS]
PAUSE = 0.1  # seconds, until the threads of the contender before have stopped to spin for more work
GFLOP = [folder.config().gflop for folder in FOLDERS]


def matrix_rate(dtype: torch.dtype, size: int = 2048, repeats: int = 12) -> float:
    """GFLOP/s of the fastest of some size x size matrix products."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def plain_pytorch(images: list[np.ndarray]) -> Contender:
    """The networks as they come out of load_state_dict: float32, eager, no folding."""
    classifier, segmenter = (load_network(folder) for folder in FOLDERS)
    assert isinstance(classifier, ResNet50Classifier)
    networks: list[nn.Module] = [ExplainedClassifier(classifier).eval(), segmenter]
    batches = [torch.from_numpy(image.transpose(2, 0, 1)[None].copy()) for image in images]

    def run() -> None:
        with torch.no_grad():
            for network, batch in zip(networks, batches, strict=True):
                network(batch)

    return run


def ours(images: list[np.ndarray], precisions: tuple[Precision, Precision]) -> Contender:
    """The networks that the pipeline runs, without what is around them."""
    networks = [Network(*each) for each in zip(FOLDERS, SIZES, precisions, strict=True)]
    return lambda: [network(image[None]) for network, image in zip(networks, images, strict=True)]


def onnx_runtime(images: list[np.ndarray], threads: int) -> Contender:
    """ONNX Runtime on the CPU, all graph optimisations, float32 (it has no bfloat16 convolution there)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    sessions = [onnxruntime.InferenceSession(str(folder.path / GRAPH_FILE), options, providers=providers) for folder in FOLDERS]
    feeds = [{"image": np.ascontiguousarray(image.transpose(2, 0, 1)[None])} for image in images]
    return lambda: [session.run(None, feed) for session, feed in zip(sessions, feeds, strict=True)]


def race(contenders: dict[str, Contender], rounds: int) -> dict[str, float]:
    """Median seconds of each contender; two rounds of warm-up are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 2):
        for name, run in contenders.items():
            time.sleep(PAUSE)
            started = time.perf_counter()
            run()
            if number >= 2:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(thread_count())
    threads, native = thread_count(), has_bfloat16()
    rates = {"float32": matrix_rate(torch.float32), "bfloat16": matrix_rate(torch.bfloat16)}
    own: tuple[Precision, Precision] = ("bfloat16" if native else "float32", "float32")
    as_run = sum(gflop / rates[precision] for gflop, precision in zip(GFLOP, own, strict=True))
    one_format = {name: sum(GFLOP) / rate for name, rate in rates.items()}

    images = [np.random.default_rng(0).standard_normal((size, size, 3), np.float32) for size in SIZES]
    pipelines = {name: TumourPipeline.load(precision=name) for name in ("float32", None)}
    sample = load_samples()[3].image
    contenders: dict[str, Contender] = {
        "plain PyTorch, float32 eager": plain_pytorch(images),
        "ONNX Runtime, float32": onnx_runtime(images, threads),
        "networks, float32": ours(images, ("float32", "float32")),
        f"networks, {own[0]} and {own[1]}": ours(images, own),
        "predict(), float32": lambda: pipelines["float32"].predict(sample, segment_all=True),
        f"predict(), {own[0]} and {own[1]}": lambda: pipelines[None].predict(sample, segment_all=True),
    }
    medians = race(contenders, options.rounds)

    print(f"{threads} threads; {sum(GFLOP):.2f} GFLOP per slice (stage 1 {GFLOP[0]:.2f}, stage 2 {GFLOP[1]:.2f})")
    for name, rate in rates.items():
        print(f"matrix product {name}: {rate:.0f} GFLOP/s, so {one_format[name] * 1e3:.1f} ms needed")
    print(f"stage 1 in {own[0]}, stage 2 in {own[1]}: {as_run * 1e3:.1f} ms needed")
    print(f"\n| contender | median ms | times needed in one format | in its own |\n|{' --- |' * 4}")
    for name, median in medians.items():
        mixed = native and "bfloat16" in name
        one, each = one_format["bfloat16" if mixed else "float32"], as_run if mixed else one_format["float32"]
        print(f"| {name} | {median * 1e3:.1f} | {median / one:.2f} | {median / each:.2f} |")


if __name__ == "__main__":
    main()
