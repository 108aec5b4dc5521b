"""Building blocks that the architectures share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution that keeps the size, batch normalisation, ReLU; (B, inputs, H, W) to (B, outputs, H, W)."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Two `conv_bn_relu`: U-Net's block and the first level of the ResUNets."""
    return nn.Sequential(conv_bn_relu(inputs, outputs), conv_bn_relu(outputs, outputs))


class ResidualBlock(nn.Module):
    """Main path 1x1 conv, BN, ReLU, 3x3 conv, BN; shortcut 1x1 conv, BN; sum, ReLU. (B, inputs, H, W) to (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.main(features) + self.shortcut(features))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016, fig. 2). (B, inputs, H, W) to (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            conv_bn_relu(inputs, outputs), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.main(features) + self.shortcut(features))


class SqueezeExcitation(nn.Module):
    """Scales every channel by a weight in (0, 1) from all channels' means (Hu, Shen, Sun, CVPR 2018, eq. 2 to 4)."""

    REDUCTION, LEAST = 16, 8

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(self.LEAST, channels // self.REDUCTION)
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features * self.excite(features)  # type: ignore[no-any-return]


class UpConcat(nn.Module):
    """Upsample the coarse map to the skip's size (nearest neighbour), concatenate the skip, apply `block` to both."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        upsampled: Tensor = nn.functional.interpolate(coarse, size=skip.shape[-2:], mode="nearest")
        return self.block(torch.cat([upsampled, skip], dim=1))  # type: ignore[no-any-return]
