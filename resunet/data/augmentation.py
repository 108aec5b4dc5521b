"""Augmentation in two steps: sample the parameters, then apply them, so that any augmented slice can be made again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

GRID = 5  # nodes a side of the elastic grid


@dataclass(frozen=True)
class AugmentationRanges:
    """Ranges to sample from. Angles in degrees, shift as a share of the output size, intensities in normalised units."""

    flip: float = 0.5
    angle: float = 20.0
    scale: tuple[float, float] = (0.85, 1.2)
    shift: float = 0.08
    shear: float = 0.08
    gain: float = 0.2
    offset: float = 0.25
    gamma: float = 0.25
    bias_field: float = 0.35
    noise: float = 0.12
    missing_channel: float = 0.1  # of each of the two other channels on its own: FLAIR stands in for it
    flair_only: float = 0.0  # of both together
    blur: float = 0.0  # largest standard deviation of a Gaussian, in pixels
    elastic: float = 0.0  # largest displacement of the nodes of a 5x5 grid, as a share of the output size
    lesion_copy_paste: float = 0.0  # share of the examples that receive another slice's lesion


GENTLE = AugmentationRanges()
STRONG = AugmentationRanges(
    angle=30.0,
    shift=0.1,
    shear=0.12,
    gain=0.45,
    offset=0.4,
    gamma=0.4,
    bias_field=0.5,
    blur=1.2,
    elastic=0.02,
    lesion_copy_paste=0.2,
)


@dataclass(frozen=True)
class AugmentationParameters:
    """One sampled augmentation; `training.augment.augment` is a pure function of it and of the slice."""

    flip: bool
    angle: float
    scale: float
    shift: tuple[float, float]
    shear: float
    gain: tuple[float, float, float]
    offset: tuple[float, float, float]
    gamma: float
    bias: tuple[float, ...]
    noise: float
    missing: tuple[bool, bool]
    seed: int
    blur: float = 0.0
    elastic: tuple[float, ...] = ()


NO_CHANGE = AugmentationParameters(
    False, 0.0, 1.0, (0.0, 0.0), 0.0, (1.0,) * 3, (0.0,) * 3, 1.0, (0.0,) * 9, 0.0, (False, False), 0
)


def sample(ranges: AugmentationRanges, rng: np.random.Generator) -> AugmentationParameters:
    """Sample parameters; half of the samples leave the intensities alone."""
    scale = float(np.exp(rng.uniform(*np.log(ranges.scale))))
    shift = (float(rng.uniform(-ranges.shift, ranges.shift)), float(rng.uniform(-ranges.shift, ranges.shift)))
    strength = float(rng.random() < 0.5)
    gains = 1.0 + strength * rng.uniform(-ranges.gain, ranges.gain, 3)
    offsets = strength * rng.uniform(-ranges.offset, ranges.offset, 3)
    bias = strength * rng.uniform(-ranges.bias_field, ranges.bias_field, 9)
    parameters = AugmentationParameters(
        flip=bool(rng.random() < ranges.flip),
        angle=float(rng.uniform(-ranges.angle, ranges.angle)),
        scale=scale,
        shift=shift,
        shear=float(rng.uniform(-ranges.shear, ranges.shear)),
        gain=(float(gains[0]), float(gains[1]), float(gains[2])),
        offset=(float(offsets[0]), float(offsets[1]), float(offsets[2])),
        gamma=float(np.exp(strength * rng.uniform(-ranges.gamma, ranges.gamma))),
        bias=tuple(float(value) for value in bias),
        noise=strength * float(rng.uniform(0, ranges.noise)),
        missing=_sample_missing(ranges, rng),
        seed=int(rng.integers(2**31)),
    )
    return _sample_blur_and_warp(parameters, ranges, rng)


def _sample_missing(ranges: AugmentationRanges, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the first and the last channel are replaced by FLAIR."""
    first, last = (bool(rng.random() < ranges.missing_channel) for _ in range(2))
    both = bool(ranges.flair_only and rng.random() < ranges.flair_only)
    return first or both, last or both


def _sample_blur_and_warp(
    parameters: AugmentationParameters, ranges: AugmentationRanges, rng: np.random.Generator
) -> AugmentationParameters:
    """Blur for a quarter, elastic warp for half of the examples, where the ranges allow them."""
    if ranges.blur and rng.random() < 0.25:
        parameters = replace(parameters, blur=float(rng.uniform(0.3, ranges.blur)))
    if ranges.elastic and rng.random() < 0.5:
        nodes = rng.uniform(-ranges.elastic, ranges.elastic, 2 * GRID * GRID)
        parameters = replace(parameters, elastic=tuple(float(node) for node in nodes))
    return parameters


def matrix(parameters: AugmentationParameters, shape: tuple[int, ...], size: int) -> npt.NDArray[np.float64]:
    """2x3 matrix from a slice (H, W) to a window (size, size): centre, shear, rotate, scale, mirror, shift."""
    angle = np.deg2rad(parameters.angle)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = parameters.scale * rotation @ np.array([[1.0, parameters.shear], [0.0, 1.0]])
    if parameters.flip:
        linear = np.diag([-1.0, 1.0]) @ linear
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    target = np.array([(size - 1) / 2, (size - 1) / 2]) + np.array(parameters.shift) * size
    return np.column_stack([linear, target - linear @ centre])
