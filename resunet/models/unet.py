"""U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) and the encoder-decoder frame that its descendants share."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor, nn

from resunet.models.blocks import UpConcat, double_conv
from resunet.models.pretrained import Pretrained

Block = Callable[[int, int], nn.Module]
LINEAGE_WIDTHS = (16, 32, 64, 128, 256)  # channels of each level, finest first; the last is the bottleneck


class EncoderDecoder(Pretrained, nn.Module):
    """Max-pooling encoder, upsampling decoder with concatenated skips, 1x1 output.

    Any side of at least 16 pixels works; odd sides are met by upsampling to the skip's size.

    Args:
        block: makes a block from (input channels, output channels).
        channels: of the image, 1 or 3.
    """

    def __init__(self, block: Block, channels: int = 3) -> None:
        super().__init__()
        widths = LINEAGE_WIDTHS
        self.stem = double_conv(channels, widths[0])
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(block(finer, coarser) for finer, coarser in itertools.pairwise(widths))
        self.decoder = nn.ModuleList(
            UpConcat(block(coarser + finer, finer)) for finer, coarser in reversed(list(itertools.pairwise(widths)))
        )
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of a normalised image (B, C, H, W)."""
        features = self.stem(image)
        skips = []
        for level in self.encoder:
            skips.append(features)
            features = level(self.pool(features))
        for level in self.decoder:
            features = level(features, skips.pop())
        return self.head(features)  # type: ignore[no-any-return]


class UNet(EncoderDecoder):
    """U-Net at this lineage's width 16-32-64-128-256, with padding and batch normalisation (our choice)."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(double_conv, channels)
