"""Augmentation of a batch on the device that trains: what `data.augmentation` sampled, applied by PyTorch.

One implementation for processors and GPUs. Operations that only some examples need are done on those alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from resunet.data.augmentation import GRID, AugmentationParameters, matrix

BIAS_GRID = 3  # nodes a side of the bias field
BLUR_RADIUS = 5  # pixels, four standard deviations of the widest blur


def augment(images: Tensor, masks: Tensor, parameters: Sequence[AugmentationParameters], size: int) -> tuple[Tensor, Tensor]:
    """Warp images and masks together onto windows about their centres, then change the images' intensities.

    Args:
        images: (B, C, H, W) float32 normalised slices, one or three channels.
        masks: (B, 1, H, W) float32 of 0 and 1.
        parameters: B samples, one an example.
        size: side of the window in pixels; smaller than the slice means a crop.

    Returns:
        images (B, C, size, size) float32 and masks (B, 1, size, size) float32 of 0 and 1, on the inputs' device.
    """
    places = _source_places(parameters, images, size) + _elastic_offsets(parameters, size, images)
    air = images.amin(dim=(2, 3), keepdim=True)
    # Everything outside of the slice is 0 to grid_sample; with air at 0, it becomes air.
    warped = nn.functional.grid_sample(images - air, places, align_corners=True) + air
    outlines = (nn.functional.grid_sample(masks, places, align_corners=True) >= 0.5).to(masks.dtype)
    return _intensities(warped, parameters), outlines


def _source_places(parameters: Sequence[AugmentationParameters], images: Tensor, size: int) -> Tensor:
    """Where each output pixel looks, (B, size, size, 2) as x and y in [-1, 1] from corner to corner of the slice."""
    height, width = images.shape[-2:]
    inverse = np.stack([_inverse(matrix(each, (height, width), size)) for each in parameters])  # window to slice, in pixels
    to_unit = np.array([2 / (width - 1), 2 / (height - 1)])
    inverse = inverse * to_unit[None, :, None]
    inverse[:, :, 2] -= 1
    axis = torch.arange(size, dtype=torch.float32, device=images.device)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    pixels = torch.stack((columns, rows, torch.ones_like(rows)), dim=-1)
    return torch.einsum("hwk,bjk->bhwj", pixels, torch.from_numpy(inverse).float().to(images.device, non_blocking=True))


def _inverse(affine: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.linalg.inv(np.vstack((affine, (0, 0, 1))))[:2]


def _elastic_offsets(parameters: Sequence[AugmentationParameters], size: int, images: Tensor) -> Tensor | float:
    """Smooth displacements of the places, (B, size, size, 2); 0 where no example has any."""
    if not any(each.elastic for each in parameters):
        return 0.0
    nodes = np.array([each.elastic or (0.0,) * (2 * GRID * GRID) for each in parameters], np.float32)
    # The displacement is of the output; the affine part of the warp turns and scales it on its way to the slice.
    linear = np.stack([_inverse(matrix(each, tuple(images.shape[-2:]), size))[:, :2] for each in parameters]).astype(np.float32)
    turned = np.einsum("bji,bin->bjn", linear, nodes.reshape(len(nodes), 2, -1) * size)
    turned *= (2 / (np.array(images.shape[:1:-1], np.float32) - 1))[None, :, None]
    grid = torch.from_numpy(turned.reshape(-1, 2, GRID, GRID).astype(np.float32)).to(images.device, non_blocking=True)
    return _enlarged(grid, size).permute(0, 2, 3, 1)


def _enlarged(nodes: Tensor, size: int) -> Tensor:
    return nn.functional.interpolate(nodes, size=(size, size), mode="bicubic", align_corners=False)


def _intensities(images: Tensor, parameters: Sequence[AugmentationParameters]) -> Tensor:
    """Missing channels, gamma, bias field, gain and offset, blur and noise, each where it was drawn."""
    if images.shape[1] == 3:
        flair = images[:, 1].clone()  # the data set puts FLAIR where a sequence is missing
        for channel, which in ((0, 0), (2, 1)):
            if chosen := [row for row, each in enumerate(parameters) if each.missing[which]]:
                images[chosen, channel] = flair[chosen]
    if chosen := [row for row, each in enumerate(parameters) if each.gamma != 1.0]:
        part = images[chosen]
        low = part.amin(dim=(2, 3), keepdim=True)
        high = part.amax(dim=(2, 3), keepdim=True)
        span = (high - low).clamp_min(1e-6)
        gamma = _column([parameters[row].gamma for row in chosen], images)
        images[chosen] = ((part - low) / span) ** gamma * span + low
    if chosen := [row for row, each in enumerate(parameters) if any(each.bias)]:
        part = images[chosen]
        nodes = torch.tensor([parameters[row].bias for row in chosen]).reshape(-1, 1, BIAS_GRID, BIAS_GRID)
        field = _enlarged(nodes.to(images.device, non_blocking=True), images.shape[-1])
        images[chosen] = part + (part - part.amin(dim=(2, 3), keepdim=True)) * field * 0.5
    gain, offset = (_channels([getattr(each, name) for each in parameters], images) for name in ("gain", "offset"))
    images = images * gain + offset
    if chosen := [row for row, each in enumerate(parameters) if each.blur]:
        images[chosen] = blurred(images[chosen], [parameters[row].blur for row in chosen])
    for row, each in enumerate(parameters):
        if each.noise:
            generator = torch.Generator(images.device).manual_seed(each.seed)
            images[row] += each.noise * torch.randn(images.shape[1:], generator=generator, device=images.device)
    return images.contiguous(memory_format=torch.channels_last)


def blurred(images: Tensor, deviations: Sequence[float]) -> Tensor:
    """Images (B, C, H, W), each under a Gaussian of its own standard deviation in pixels."""
    count, channels, height, width = images.shape
    places = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=torch.float32)
    kernels = torch.exp(-(places**2) / (2 * torch.tensor(deviations)[:, None] ** 2))
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, 0).to(images.device, non_blocking=True)
    planes = images.reshape(1, count * channels, height, width)
    margins = ((BLUR_RADIUS, BLUR_RADIUS, 0, 0), (0, 0, BLUR_RADIUS, BLUR_RADIUS))
    for margin, shape in zip(margins, (kernels[:, None, None, :], kernels[:, None, :, None]), strict=True):
        planes = nn.functional.conv2d(nn.functional.pad(planes, margin, mode="reflect"), shape, groups=count * channels)
    return planes.reshape(images.shape)


def shrunk(planes: Tensor, size: int) -> Tensor:
    """Square planes (B, C, S, S) at a smaller side by area averaging, as `data.transforms.resize` does it."""
    side = planes.shape[-1]
    if side == size:
        return planes
    shares = area_shares(side, size).to(planes.device, non_blocking=True)
    return (shares @ planes @ shares.T).contiguous(memory_format=torch.channels_last)


def area_shares(side: int, size: int) -> Tensor:
    """(size, side): which share of each of the new pixels each of the old ones covers."""
    step = side / size
    edges = torch.arange(size, dtype=torch.float64) * step
    old = torch.arange(side, dtype=torch.float64)
    covered = torch.minimum(old + 1, edges[:, None] + step) - torch.maximum(old, edges[:, None])
    return (covered.clamp_min(0) / step).float()


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).to(like.device, non_blocking=True)[:, None, None, None]


def _channels(values: Sequence[tuple[float, float, float]], like: Tensor) -> Tensor:
    of_each = torch.tensor(values, dtype=torch.float32).to(like.device, non_blocking=True)
    return of_each[:, : like.shape[1], None, None]
