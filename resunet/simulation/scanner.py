"""What a scanner adds: blur, a bias field, Rician noise, and its window onto 8 bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from resunet.simulation.template import FloatVoxels

WINDOW = (1.15, 1.6)  # signal that becomes white, where normal white matter is 0.5 to 0.6
NOISE = (0.010, 0.020)


def acquire(sequences: FloatVoxels, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Sequences (3, I, J, K) as a scanner shows them: (I, J, K, 3) uint8."""
    shape = sequences.shape[1:]
    images = np.empty((*shape, 3), np.uint8)
    axes = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij", sparse=True)
    for channel, sequence in enumerate(sequences):
        signal = ndimage.gaussian_filter(sequence, (0.5, 0.5, 0))
        bowl = float(rng.uniform(-0.05, 0.10)) * (axes[0] ** 2 + axes[1] ** 2 - 0.6)
        tilt = sum(float(slope) * axis for slope, axis in zip(rng.uniform(-0.12, 0.12, 3), axes, strict=True))
        signal = signal * (1 + bowl + tilt)
        noise = rng.uniform(*NOISE) * rng.standard_normal((2, *shape), np.float32)
        signal = np.hypot(signal + noise[0], noise[1])
        images[..., channel] = np.clip(signal / rng.uniform(*WINDOW) * 255, 0, 255).astype(np.uint8)
    return images
