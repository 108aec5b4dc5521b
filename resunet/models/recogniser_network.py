"""The recogniser: a small residual network over one grey channel, with a head each for content, plane and skull."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (20, 32, 56, 80, 104)  # channels, each stage at half the resolution of the one before


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first with a stride of 2, added to a 1x1 projection (He et al., CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / 2, W / 2)."""
        activated: Tensor = self.activation(self.body(x) + self.short(x))
        return activated


class RecogniserNetwork(nn.Module):
    """Logits of content (B, contents), plane (B, 3) and skull (B, 1) from images (B, 1, 128, 128) in [0, 1]."""

    def __init__(self, contents: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(*(ResidualBlock(a, b) for a, b in zip((1, *WIDTHS), WIDTHS, strict=False)))
        self.drop = nn.Dropout(0.2)
        self.content = nn.Linear(2 * WIDTHS[-1], contents)
        self.plane = nn.Linear(2 * WIDTHS[-1], 3)
        self.skull = nn.Linear(2 * WIDTHS[-1], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three logits."""
        maps = self.stages(x)
        pooled = self.drop(torch.cat((maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))), dim=1))  # what is everywhere, or somewhere
        return self.content(pooled), self.plane(pooled), self.skull(pooled)
