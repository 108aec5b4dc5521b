"""Augmentation in two steps: sample the parameters, then apply them, so that any augmented slice can be made again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from resunet.data.scan import BoolMask
from resunet.data.transforms import FloatImage

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
    missing_channel: float = 0.1
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
    """One sampled augmentation; `apply` is a pure function of it and of the slice."""

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
        missing=(bool(rng.random() < ranges.missing_channel), bool(rng.random() < ranges.missing_channel)),
        seed=int(rng.integers(2**31)),
    )
    return _sample_blur_and_warp(parameters, ranges, rng)


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


def apply(parameters: AugmentationParameters, image: FloatImage, mask: BoolMask, size: int) -> tuple[FloatImage, BoolMask]:
    """Warp image and mask together onto a (size, size) window about the centre, then change the image's intensities.

    Args:
        parameters: from `sample`.
        image: (H, W, 3) normalised slice.
        mask: (H, W) bool.
        size: side of the window in pixels; smaller than the slice means a crop.

    Returns:
        image (size, size, 3) float32 and mask (size, size) bool.
    """
    matrix = _matrix(parameters, image.shape[:2], size)
    air = [float(value) for value in image.min(axis=(0, 1))]
    painted = mask.astype(np.uint8) * 255
    if parameters.elastic:
        columns, rows = _elastic_map(parameters, matrix, size)
        warped = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=air)
        outline = cv2.remap(painted, columns, rows, cv2.INTER_LINEAR)
    else:
        warped = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=air)
        outline = cv2.warpAffine(painted, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return _intensities(parameters, np.asarray(warped, np.float32)), outline >= 128


def _matrix(parameters: AugmentationParameters, shape: tuple[int, ...], size: int) -> npt.NDArray[np.float64]:
    """2x3 matrix from slice to window: centre, shear, rotate, scale, mirror, shift."""
    angle = np.deg2rad(parameters.angle)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = parameters.scale * rotation @ np.array([[1.0, parameters.shear], [0.0, 1.0]])
    if parameters.flip:
        linear = np.diag([-1.0, 1.0]) @ linear
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    target = np.array([(size - 1) / 2, (size - 1) / 2]) + np.array(parameters.shift) * size
    return np.column_stack([linear, target - linear @ centre])


def _elastic_map(
    parameters: AugmentationParameters, matrix: npt.NDArray[np.float64], size: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Source column and row of every output pixel: the affine warp after a smooth displacement of the output."""
    nodes = np.asarray(parameters.elastic, np.float32).reshape(2, GRID, GRID) * size
    right, down = (cv2.resize(plane, (size, size), interpolation=cv2.INTER_CUBIC) for plane in nodes)
    axis = np.arange(size, dtype=np.float32)
    x, y = axis[None, :] + right, axis[:, None] + down
    (a, b, c), (d, e, f) = cv2.invertAffineTransform(matrix).astype(np.float32)
    return np.asarray(a * x + b * y + c, np.float32), np.asarray(d * x + e * y + f, np.float32)


def _intensities(parameters: AugmentationParameters, image: FloatImage) -> FloatImage:
    if parameters.missing[0]:
        image[..., 0] = image[..., 1]  # the data set puts FLAIR where a sequence is missing
    if parameters.missing[1]:
        image[..., 2] = image[..., 1]
    if parameters.gamma != 1.0:
        low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
        span = np.maximum(high - low, 1e-6)
        image = ((image - low) / span) ** parameters.gamma * span + low
    if any(parameters.bias):
        grid = np.asarray(parameters.bias, np.float32).reshape(3, 3)
        field = cv2.resize(grid, image.shape[:2], interpolation=cv2.INTER_CUBIC)
        image = image + (image - image.min(axis=(0, 1))) * field[..., None] * 0.5
    image = image * np.asarray(parameters.gain, np.float32) + np.asarray(parameters.offset, np.float32)
    if parameters.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), parameters.blur), np.float32)
    if parameters.noise:
        noise = np.random.default_rng(parameters.seed).standard_normal(image.shape, dtype=np.float32)
        image = image + parameters.noise * noise
    return np.ascontiguousarray(image, dtype=np.float32)
