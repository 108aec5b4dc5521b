"""AGResU-Net: the ResUNet whose skips pass through attention gates."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from resunet.models.blocks import ResidualBlock, UpConcat
from resunet.models.unet import LINEAGE_WIDTHS, EncoderDecoder


class AttentionGate(nn.Module):
    """Weighs each position of a skip by what the coarser level makes of it (Oktay et al. 2018, eq. 1 to 3).

    Takes the upsampled coarse map (B, coarser, H, W) and the skip (B, finer, H, W); returns the weighed skip.
    """

    def __init__(self, coarser: int, finer: int) -> None:
        super().__init__()
        inner = max(finer // 2, 8)
        self.of_gate = nn.Sequential(nn.Conv2d(coarser, inner, 1, bias=False), nn.BatchNorm2d(inner))
        self.of_skip = nn.Sequential(nn.Conv2d(finer, inner, 1, bias=False), nn.BatchNorm2d(inner))
        self.weigh = nn.Conv2d(inner, 1, 1)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return skip * torch.sigmoid(self.weigh(torch.relu(self.of_gate(coarse) + self.of_skip(skip))))


class GatedUpConcat(UpConcat):
    """`UpConcat` with an attention gate on the skip."""

    def __init__(self, block: nn.Module, gate: AttentionGate) -> None:
        super().__init__(block)
        self.gate = gate

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        upsampled = nn.functional.interpolate(coarse, size=skip.shape[-2:], mode="nearest")
        return self.block(torch.cat([upsampled, self.gate(upsampled, skip)], dim=1))  # type: ignore[no-any-return]


class AGResUNet(EncoderDecoder):
    """In the style of AGResU-Net (Zhang, Jiang, Dong, Hou, Liu, IEEE Access 2020), which publishes no code.

    Faithful: additive attention gates on the skips of a residual U-Net. Our choice: two dimensions, this lineage's widths
    and block, gates at the skip's own resolution.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__(ResidualBlock, channels)
        self.decoder = nn.ModuleList(
            GatedUpConcat(ResidualBlock(coarser + finer, finer), AttentionGate(coarser, finer))
            for finer, coarser in reversed(list(itertools.pairwise(LINEAGE_WIDTHS)))
        )
