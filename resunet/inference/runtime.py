"""An exported graph compiled for this processor by OpenVINO."""

from __future__ import annotations

import mmap
import sys
import tempfile
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from resunet.data.transforms import FloatImage
from resunet.errors import InputError
from resunet.inference.fair_lock import FairLock
from resunet.inference.hardware import thread_count
from resunet.model_folder import GRAPH_FILE, WEIGHTS_FILE, ModelFolder

if TYPE_CHECKING:
    from openvino import Core, Tensor

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


def _tensor(content: mmap.mmap) -> Tensor:
    """The bytes as OpenVINO takes them, not copied."""
    from openvino import Tensor

    return Tensor(np.frombuffer(content, np.uint8), shared_memory=True)


class Network:
    """One model's graph. Thread-safe: forward passes go through FORWARD_PASSES.

    Args:
        folder: a model folder with weights and graph, both checked against their SHA-256.
        size: side of the square input, in pixels.
        precision: number format of the arithmetic; inputs and outputs are float32.

    Raises:
        InputError: a file is missing or damaged, or the graph cannot be run.
    """

    def __init__(self, folder: ModelFolder, size: int, precision: Precision) -> None:
        folder.check(WEIGHTS_FILE)
        self._path = folder.path
        self._graph = folder.check(GRAPH_FILE)
        self._size = size
        self._channels = folder.config().channels
        self._settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": thread_count(),
            "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        }
        self._slices = 0
        self._compile(1)

    def _compile(self, slices: int) -> None:
        """Get ready for calls of so many slices: for a fixed number, half the memory is enough. Raises InputError."""
        if slices == self._slices:
            return
        try:
            model = core().read_model(self._graph)
            model.reshape([slices, self._channels, self._size, self._size])
            self._request = core().compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"The graph in {self._path} cannot be run ({reason}); run resunet export {self._path}.") from None
        self._slices = slices

    def release(self) -> None:
        """Give back the memory that calls of several slices took; the next such call gets ready again."""
        with FORWARD_PASSES.hold():
            self._compile(1)

    def move_constants(self) -> None:
        """Leave the constants to an unnamed temporary file, where one can be written; the network gives the same numbers.

        OpenVINO computes with weights that it has arranged for the processor, but keeps those it read, too: 94 MB of
        ResNet-50. In a file, they take no memory until somebody reads them.
        """
        with suppress(OSError, RuntimeError), tempfile.TemporaryFile() as file, FORWARD_PASSES.hold():
            file.write(self._request.get_compiled_model().export_model().getbuffer())
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            constants = _tensor(mapped)
            self._slices = 0  # so that the next call compiles anew if this fails
            del self._request  # first, so that the new one takes the place of the old one
            self._request = core().import_model(constants, "CPU", self._settings).create_infer_request()
            self._constants, self._slices = constants, 1  # for as long as the network
            if hasattr(mapped, "madvise"):  # not on Windows
                mapped.madvise(mmap.MADV_DONTNEED)

    def __call__(self, images: FloatImage) -> tuple[npt.NDArray[np.float32], ...]:
        """Outputs (N, ...) of N normalised slices (N, S, S, 3); a network of one channel sees the first."""
        batch = np.ascontiguousarray(images[..., : self._channels].transpose(0, 3, 1, 2), np.float32)
        with FORWARD_PASSES.hold():
            self._compile(len(batch))
            outputs = self._request.infer([batch])
            return tuple(output.copy() for output in outputs.values())
