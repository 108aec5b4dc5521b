"""The ResUNets: the lineage's, and a deeper one that works at half resolution behind a space-to-depth stem."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from resunet.models.blocks import BasicBlock, ResidualBlock, UpConcat, conv_bn_relu
from resunet.models.pretrained import Pretrained
from resunet.models.unet import EncoderDecoder, down_and_up


class ResUNet(EncoderDecoder):
    """ResUNet of the QPAIN 2025 paper's lineage: 16-32-64-128 encoder, 256 bottleneck, 1.2 M parameters.

    First level two 3x3 convolutions, then residual blocks; max-pool down, upsample and concatenate up, 1x1 out.
    """

    def __init__(self) -> None:
        super().__init__(ResidualBlock)


class ResUNetDeep(Pretrained, nn.Module):
    """A deeper ResUNet that sees 2x2 pixels at a time (our design).

    Each 2x2 patch of the image becomes one position with four times the channels, so that all but the first and last layers
    work on a half-size grid, where a processor multiplies large matrices instead of moving large maps. The blocks have two 3x3
    convolutions, and coarse levels have two blocks: the 8x8 bottleneck sees the whole head, and a false alarm far from
    the tumour can be told from one near it. A 3x3 head writes 2x2 logits per position.
    """

    WIDTHS = (32, 64, 128, 256, 256)
    BLOCKS = (1, 2, 2, 2)  # at each level below the finest

    def __init__(self) -> None:
        super().__init__()
        finest = self.WIDTHS[0]
        levels = list(itertools.pairwise(self.WIDTHS))
        self.to_depth = nn.PixelUnshuffle(2)
        self.stem = conv_bn_relu(12, finest)
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            nn.Sequential(BasicBlock(finer, coarser), *(BasicBlock(coarser, coarser) for _ in range(blocks - 1)))
            for (finer, coarser), blocks in zip(levels, self.BLOCKS, strict=True)
        )
        self.decoder = nn.ModuleList(
            UpConcat(nn.Sequential(conv_bn_relu(coarser + finer, finer, 1), self._refine(finer)))
            for finer, coarser in reversed(levels)
        )
        self.head = nn.Conv2d(finest, 4, 3, padding=1)
        self.to_space = nn.PixelShuffle(2)

    def _refine(self, width: int) -> nn.Module:
        """A residual block; on the finest grid, where it would cost most, one convolution."""
        return conv_bn_relu(width, width) if width == self.WIDTHS[0] else BasicBlock(width, width)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of a normalised image (B, 3, H, W); odd sides are padded by one pixel and cut back."""
        height, width = image.shape[-2:]
        padded = nn.functional.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
        features = down_and_up(self.stem(self.to_depth(padded)), self.pool, self.encoder, self.decoder)
        logits: Tensor = self.to_space(self.head(features))
        return logits[..., :height, :width]
