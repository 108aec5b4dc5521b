"""A slice as a scanner nobody has might show it: contrast made anew by a small random network."""

from __future__ import annotations

import numpy as np

from resunet.data.transforms import FloatImage

WIDTHS = (4, 4, 3)  # channels out of each layer
SLOPE = 0.2  # of the leaky rectifier below zero


def random_contrast(image: FloatImage, seed: int) -> FloatImage:
    """A blend of the slice with what a shallow network of random weights makes of it (GIN; Ouyang et al., 2021).

    Each layer mixes the channels of a pixel and bends the result; unlike the source's, none looks at neighbouring
    pixels, because random 3x3 filters are mostly edge detectors and wipe out lesions without edges. The network's
    output takes the mean and standard deviation of the slice's channels, then the two are blended in random shares.

    Args:
        image: (H, W, 3) float32, normalised.
        seed: fixes the network and the blend.

    Returns:
        (H, W, 3) float32; every channel's mean is kept.
    """
    rng = np.random.default_rng(seed)
    share = np.float32(rng.random())
    made = image
    for width in WIDTHS:
        mixture = rng.standard_normal((made.shape[2], width), dtype=np.float32)
        made = made @ mixture + rng.standard_normal(width, dtype=np.float32)
        if width != WIDTHS[-1]:
            made = np.maximum(made, SLOPE * made)
    mean, spread = image.mean(axis=(0, 1)), image.std(axis=(0, 1))
    made = (made - made.mean(axis=(0, 1))) / np.maximum(made.std(axis=(0, 1)), 1e-6) * spread + mean
    return np.asarray(share * image + (1 - share) * made, np.float32)
