"""The volume model: ResUNet-Lite that also looks at the neighbouring slices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resunet.models.resunet_lite import GROUPS, ResUNetLite


class AcrossSlices(nn.Module):
    """A residual 3x1x1 convolution along a sequence of slices, the same at every position in the plane.

    The scale of its batch norm starts at 0, so that before training a slice is only what it is by itself.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, (3, 1), padding=(1, 0), bias=False)  # over slices x positions
        self.norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor, length: int | None = None) -> Tensor:
        """Features (N, C, H, W) >= 0 of all slices; `length` as in `ResUNetLite3D.forward`."""
        sequences = features[None] if length is None else features.unflatten(0, (-1, length))  # (B, T, C, H, W)
        mixed = self.norm(self.convolution(sequences.flatten(3).transpose(1, 2)))  # (B, C, T, H * W)
        return torch.relu(features + mixed.transpose(1, 2).flatten(0, 1).unflatten(-1, features.shape[-2:]))


class ResUNetLite3D(ResUNetLite):
    """ResUNetLite with convolutions across slices behind the encoder and the first three decoder stages (our design).

    3.8 M parameters. Four layers of one slice each way: the logits of a slice depend on CONTEXT slices before and after it.
    """

    CONTEXT = 4

    def __init__(self, channels: int = 3) -> None:
        super().__init__(channels)
        self.across = nn.ModuleList(AcrossSlices(width) for width in (GROUPS[-1].width, *self.WIDTHS[:-1]))

    def forward(self, image: Tensor, length: int | None = None) -> Tensor:
        """Logits (N, 1, H, W) of neighbouring normalised slices (N, C, H, W), in order.

        Args:
            image: one sequence, or several of `length` slices each, one after the other.
            length: slices of a sequence; all of them by default.
        """

        def mix(features: Tensor, level: int) -> Tensor:
            mixed: Tensor = self.across[level](features, length) if level < len(self.across) else features
            return mixed

        return self._logits(self._encode(image), image, mix)
