"""ResUNet+: the ResUNet with attention over channels and places in every block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resunet.models.blocks import ResidualBlock, SqueezeExcitation
from resunet.models.unet import EncoderDecoder


class SpatialAttention(nn.Module):
    """Scales every position by a weight from its mean and maximum over channels (Woo et al., ECCV 2018, eq. 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, features: Tensor) -> Tensor:
        summary = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        return features * torch.sigmoid(self.weigh(summary))


class AttentionResidualBlock(nn.Module):
    """`ResidualBlock`, then attention over channels, then over places. (B, inputs, H, W) to (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs)
        self.attention = nn.Sequential(SqueezeExcitation(outputs), SpatialAttention())

    def forward(self, features: Tensor) -> Tensor:
        return self.attention(self.block(features))  # type: ignore[no-any-return]


class ResUNetPlus(EncoderDecoder):
    """In the style of ResUNet+ (Metlek and Cetiner, 2023), which publishes no code.

    Faithful: a residual U-Net with attention blocks. Our choice: the convolutional block attention of Woo et al. behind
    each residual block, two dimensions, this lineage's widths.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__(AttentionResidualBlock, channels)
