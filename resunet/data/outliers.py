"""Made-up pictures that are no MRI slices, to teach stage 1's detector what it has not been trained on.

Inverted slices and CT-like heads are made of slices, speckle and dead leaves (Lee, Mumford and Huang, IJCV 2001: leaves of
random size and shade that cover each other have the statistics of photographs) of nothing but random numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 256
FloatPicture = npt.NDArray[np.float32]


def inverted(image: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """The negative of a slice (H, W, 3), all channels or FLAIR alone."""
    pixels = np.asarray(image, np.float32)
    chosen = pixels if rng.random() < 0.5 else _grey(pixels[..., 1])
    return chosen.max() - chosen


def ct_like(image: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """A head of a slice's outline with a saturated skull and hardly any contrast inside, (H, W, 3)."""
    smooth = cv2.GaussianBlur(np.asarray(image[..., 1], np.float32), (0, 0), 3)
    bright = (smooth > rng.uniform(0.05, 0.1) * float(np.percentile(smooth, 99))).astype(np.uint8)
    head = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
    depth = cv2.distanceTransform(np.asarray(head, np.uint8), cv2.DIST_L2, 5)
    skin, skull = rng.uniform(2, 5), rng.uniform(4, 10)
    inside = depth >= skin + skull
    plane = np.where(depth > 0, rng.uniform(20, 60), 0) + np.where(inside, rng.uniform(40, 80), 0)
    if inside.any():
        plane = plane + inside * (smooth - smooth[inside].mean()) * rng.uniform(0, 0.15)
    plane = plane + rng.normal(0, rng.uniform(1, 6), plane.shape) * (depth > 0)
    plane[(depth > skin) & ~inside] = 255
    return _grey(np.clip(plane, 0, 255))


def speckle(_: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """Multiplicative noise of random grain with dark and bright regions, in a sector or all over, (SIDE, SIDE, 3)."""
    grain = rng.rayleigh(1.0, (int(rng.integers(32, 200)),) * 2)
    fine = rng.rayleigh(1.0, (SIDE, SIDE)) ** rng.uniform(0, 1)
    plane = np.abs(cv2.resize(grain, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * fine)
    plane = plane * np.exp(rng.uniform(0.2, 0.9) * _clouds(2.0, rng))
    if rng.random() < 0.6:
        rows, columns = np.mgrid[:SIDE, :SIDE]
        top = rng.uniform(10, 60)
        across, along = columns - SIDE / 2, rows + top
        sector = np.abs(np.arctan2(across, along)) < rng.uniform(0.4, 0.9)
        plane = plane * (sector & (np.hypot(across, along) < SIDE + top / 2))
    return _grey(plane)


def leaves(_: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """Overlapping ellipses and polygons with shading and fine texture, grey or coloured, (SIDE, SIDE, 3)."""
    picture = np.empty((SIDE, SIDE, 3), np.float32)
    picture[:] = rng.uniform(0, 255, 3)
    is_grey = rng.random() < 0.5
    for _leaf in range(int(rng.integers(5, 300))):
        size = min(100.0, 6 / rng.uniform(0.02, 1))
        centre = rng.integers(0, SIDE, 2)
        leaf = np.zeros((SIDE, SIDE), np.uint8)
        if rng.random() < 0.5:
            axes = int(size) + 1, int(size * rng.uniform(0.3, 1)) + 1
            cv2.ellipse(leaf, centre.tolist(), axes, rng.uniform(0, 180), 0, 360, 1, -1)
        else:
            cv2.fillPoly(leaf, [(centre + rng.normal(0, size, (int(rng.integers(3, 8)), 2))).astype(np.int32)], (1,))
        picture[leaf > 0] = rng.uniform(0, 255, 3)
    texture = 10 * rng.uniform(0, 3) * _clouds(rng.uniform(0.5, 2.5), rng)
    shaded = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.3 * 60 ** rng.random()), np.float32) + texture[..., None]
    return _grey(shaded.mean(axis=2)) if is_grey else np.asarray(shaded, np.float32)


KINDS: dict[str, Callable[[npt.NDArray[np.generic], np.random.Generator], FloatPicture]] = {
    "inverted": inverted,
    "ct_like": ct_like,
    "speckle": speckle,
    "leaves": leaves,
}


def _clouds(power: float, rng: np.random.Generator) -> FloatPicture:
    """Noise (SIDE, SIDE) of mean 0 and variance 1 whose spectrum falls with the frequency to the given power."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) / frequency**power
    spectrum[0, 0] = 0
    plane = np.fft.irfft2(spectrum, (SIDE, SIDE))
    return (plane / plane.std()).astype(np.float32)


def _grey(plane: npt.NDArray[np.floating]) -> FloatPicture:
    return np.repeat(plane.astype(np.float32)[..., None], 3, axis=2)
