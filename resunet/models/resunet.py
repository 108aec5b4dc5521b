"""The ResUNet of the paper's lineage."""

from __future__ import annotations

from resunet.models.blocks import ResidualBlock
from resunet.models.unet import EncoderDecoder


class ResUNet(EncoderDecoder):
    """ResUNet of the QPAIN 2025 paper's lineage: 16-32-64-128 encoder, 256 bottleneck, 1.2 M parameters.

    First level two 3x3 convolutions, then residual blocks; max-pool down, upsample and concatenate up, 1x1 out.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__(ResidualBlock, channels)
