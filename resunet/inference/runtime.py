"""An exported graph compiled for this processor by OpenVINO."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from resunet.artifacts import GRAPH_FILE, WEIGHTS_FILE, ModelFolder
from resunet.data.transforms import FloatImage
from resunet.errors import InputError
from resunet.inference.fair_lock import FairLock
from resunet.inference.hardware import thread_count

if TYPE_CHECKING:
    from openvino import Core

Precision = Literal["float32", "bfloat16"]
PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16"}
WAITING = 100  # threads

# All forward passes of this process go through this line: two at once would fight for the same cores.
FORWARD_PASSES = FairLock(WAITING)


@cache
def core() -> Core:
    """OpenVINO, once per process.

    Importing the package reports to its makers over the network where openvino-telemetry can be imported. An import that is
    blocked (a None in sys.modules) makes OpenVINO use its own stub, which reports nothing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino.Core()


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Network:
    """One model's graph. Thread-safe: forward passes go through FORWARD_PASSES.

    Args:
        folder: a model folder with weights and graph, both checked against their SHA-256.
        size: side of the square input, in pixels.
        precision: number format of the arithmetic; inputs and outputs are float32.
        most: slices of a call at most.

    Raises:
        InputError: a file is missing or damaged, or the graph cannot be run.
    """

    def __init__(self, folder: ModelFolder, size: int, precision: Precision, most: int = 1) -> None:
        folder.check(WEIGHTS_FILE)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": thread_count(),
            "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        }
        try:
            model = core().read_model(folder.check(GRAPH_FILE))
            model.reshape([1 if most == 1 else (1, most), 3, size, size])
            self._request = core().compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"The graph in {folder.path} cannot be run ({reason}); run resunet export {folder.path}."
            ) from None

    def __call__(self, images: FloatImage) -> tuple[npt.NDArray[np.float32], ...]:
        """Outputs (N, ...) of N normalised slices (N, S, S, 3)."""
        batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        with FORWARD_PASSES.hold():
            outputs = self._request.infer([batch])
            return tuple(output.copy() for output in outputs.values())
