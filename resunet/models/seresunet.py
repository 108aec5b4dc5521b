"""SEResU-Net: the ResUNet whose residual blocks weigh their channels."""

from __future__ import annotations

from torch import Tensor, nn

from resunet.models.blocks import ResidualBlock, SqueezeExcitation
from resunet.models.unet import EncoderDecoder


class SEResidualBlock(nn.Module):
    """`ResidualBlock` whose main path is scaled by channel before the sum. (B, inputs, H, W) to (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        block = ResidualBlock(inputs, outputs)
        self.main = nn.Sequential(block.main, SqueezeExcitation(outputs))
        self.shortcut = block.shortcut

    def forward(self, features: Tensor) -> Tensor:
        return (self.main(features) + self.shortcut(features)).relu()  # type: ignore[no-any-return]


class SEResUNet(EncoderDecoder):
    """In the style of SEResU-Net (Yan et al. 2022), which publishes no code.

    Faithful: squeeze-and-excitation (Hu, Shen, Sun, CVPR 2018) inside the residual blocks of a U-shaped network. Our
    choice: two dimensions, this lineage's widths and block, reduction 16 with at least 8 channels.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__(SEResidualBlock, channels)
