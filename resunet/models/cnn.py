"""CNN: the plain encoder-decoder of the comparison, which loses where things were on its way down."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from resunet.models.blocks import conv_bn_relu, double_conv
from resunet.models.pretrained import Pretrained
from resunet.models.unet import LINEAGE_WIDTHS


class CNN(Pretrained, nn.Module):
    """U-Net of this lineage's width with its skips cut: what is drawn must come through the bottleneck.

    In the style of the CNN of Ali, Gilani, Waris, Zafar, Jamil (IEEE Access 2020) and of the paper's own CNN row, neither
    of which publishes code. Faithful: an encoder-decoder without skips. Our choice: widths, batch normalisation, and one
    3x3 convolution behind each upsampling so that the count of parameters stays near the U-Net's.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        levels = list(itertools.pairwise(LINEAGE_WIDTHS))
        self.stem = double_conv(channels, LINEAGE_WIDTHS[0])
        self.encoder = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), double_conv(finer, coarser)) for finer, coarser in levels)
        self.decoder = nn.ModuleList(
            nn.Sequential(conv_bn_relu(coarser, finer), conv_bn_relu(finer, finer)) for finer, coarser in reversed(levels)
        )
        self.head = nn.Conv2d(LINEAGE_WIDTHS[0], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of a normalised image (B, C, H, W); any side of at least 16 pixels."""
        features = self.stem(image)
        sizes = []
        for level in self.encoder:
            sizes.append(features.shape[-2:])
            features = level(features)
        for level in self.decoder:
            features = level(nn.functional.interpolate(features, size=sizes.pop(), mode="nearest"))
        return self.head(features)  # type: ignore[no-any-return]
