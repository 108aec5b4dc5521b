"""Masks of the replay's slices after each epoch: the pictures that the training replay plays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from resunet.data.samples import REPLAY, load_samples
from resunet.data.transforms import fit_to_grid, normalise
from resunet.files import PackedMasks, write_arrays
from resunet.model_folder import SNAPSHOTS, ModelFolder
from resunet.training.devices import mixed_precision

THRESHOLD = 0.5


class SnapshotRecorder:
    """Appends one set of masks (samples, S, S) an epoch to snapshots.npz; after a resume, later epochs are dropped."""

    def __init__(self, run: ModelFolder, size: int, epochs_done: int) -> None:
        self._path = run.path / SNAPSHOTS
        samples = load_samples(REPLAY)
        self._names = [sample.name for sample in samples]
        self._images = _stack([fit_to_grid(normalise(sample.image), size) for sample in samples])
        self._epochs: list[npt.NDArray[np.bool_]] = []
        if epochs_done and self._path.exists():
            with np.load(self._path) as arrays:
                self._epochs = list(PackedMasks.of(dict(arrays))[:epochs_done])

    @torch.no_grad()
    def record(self, model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Segment every sample and rewrite the file."""
        with mixed_precision(device, dtype):
            logits = model.eval()(self._images.to(device)).float().cpu()
        self._epochs.append((torch.sigmoid(logits[:, 0]) > THRESHOLD).numpy())
        write_arrays(self._path, {"names": np.array(self._names), **PackedMasks.pack(np.stack(self._epochs)).arrays()})


def _stack(images: list[npt.NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
