"""ResNet-50 as torchvision builds it, with torchvision's parameter names; importing this does not import torchvision.

torchvision's package costs 1.3 s and 158 MB at import (its detection operators pull in torch's compiler), twice what the
network itself holds, and the app needs neither. A test holds this copy of the architecture to torchvision's, value for
value; ImageNet weights still come from torchvision, which is imported when they are asked for.
"""

from __future__ import annotations

from torch import Tensor, nn

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; the 3x3 carries the stride (He et al., CVPR 2016, figure 5).

    Args:
        channels: channels of the input.
        width: channels of the 3x3 convolution; the output has EXPANSION times as many.
        stride: of the 3x3 convolution.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        reshapes = stride != 1 or channels != out
        self.downsample = (
            nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)) if reshapes else None
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, EXPANSION * width, H / stride, W / stride)."""
        shortcut = features if self.downsample is None else self.downsample(features)
        main = self.relu(self.bn1(self.conv1(features)))
        main = self.relu(self.bn2(self.conv2(main)))
        return self.relu(self.bn3(self.conv3(main)) + shortcut)  # type: ignore[no-any-return]


class ResNet50(nn.Module):
    """ResNet-50 with `outputs` output units; loads torchvision's weights strictly where it has 1,000."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(64, 64, 3, stride=1)
        self.layer2 = _stage(256, 128, 4, stride=2)
        self.layer3 = _stage(512, 256, 6, stride=2)
        self.layer4 = _stage(1024, 512, 3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, outputs)
        for module in self.modules():
            # Without values there is nothing to draw, and torch would import its compiler to find that out.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def feature_maps(self, image: Tensor) -> list[Tensor]:
        """Maps of the last three stages, at strides 8, 16 and 32, with 512, 1024 and 2048 channels."""
        features = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(image)))))
        maps = []
        for stage in (self.layer2, self.layer3, self.layer4):
            features = stage(features)
            maps.append(features)
        return maps

    def classify(self, maps: list[Tensor]) -> Tensor:
        """(B, outputs) from the maps of `feature_maps`."""
        return self.fc(self.avgpool(maps[-1]).flatten(1))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """(B, outputs) of a normalised image (B, 3, H, W)."""
        return self.classify(self.feature_maps(image))


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """`blocks` bottlenecks; the first one carries the stride."""
    first = Bottleneck(channels, width, stride)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width, 1) for _ in range(blocks - 1)))
