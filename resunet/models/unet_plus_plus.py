"""U-Net++ (Zhou, Siddiquee, Tajbakhsh, Liang, DLMIA 2018): skips that are themselves small decoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resunet.models.blocks import double_conv
from resunet.models.pretrained import Pretrained
from resunet.models.unet import LINEAGE_WIDTHS


class UNetPlusPlus(Pretrained, nn.Module):
    """Nested U-Net: node X(i, j) sees every earlier node of its level and the upsampled node below (eq. 1).

    Faithful: the nested nodes, dense skips, one 1x1 head on each X(0, j), trained with deep supervision and averaged
    ("accurate mode"). The system that the paper quotes (Micallef, Seychell, Bajada 2021) publishes no code. Our choice:
    this lineage's widths, nearest-neighbour upsampling, batch normalisation.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        widths = LINEAGE_WIDTHS
        self.depth = len(widths) - 1
        self.pool = nn.MaxPool2d(2)
        self.nodes = nn.ModuleDict()
        for level, width in enumerate(widths):
            self.nodes[f"{level}_0"] = double_conv(widths[level - 1] if level else channels, width)
        for column in range(1, len(widths)):
            for level in range(len(widths) - column):
                seen = column * widths[level] + widths[level + 1]
                self.nodes[f"{level}_{column}"] = double_conv(seen, widths[level])
        self.heads = nn.ModuleList(nn.Conv2d(widths[0], 1, 1) for _ in range(self.depth))

    def side_outputs(self, image: Tensor) -> list[Tensor]:
        """Logits (B, 1, H, W) of each head, shallowest first; deep supervision compares each of them with the mask."""
        rows: list[list[Tensor]] = []
        features = image
        for level in range(self.depth + 1):
            features = self.nodes[f"{level}_0"](features if level == 0 else self.pool(features))
            rows.append([features])
        for column in range(1, self.depth + 1):
            for level in range(self.depth + 1 - column):
                below = rows[level + 1][column - 1]
                upsampled = nn.functional.interpolate(below, size=rows[level][0].shape[-2:], mode="nearest")
                rows[level].append(self.nodes[f"{level}_{column}"](torch.cat([*rows[level], upsampled], dim=1)))
        return [head(node) for head, node in zip(self.heads, rows[0][1:], strict=True)]

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of a normalised image (B, C, H, W): the mean over the heads."""
        return torch.stack(self.side_outputs(image)).mean(dim=0)


class DeepSupervision(nn.Module):
    """A network with side outputs, each of which is trained on the mask; only the network itself is kept."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Mean logits (B, 1, H, W), and the logits of each side output."""
        sides: list[Tensor] = self.network.side_outputs(image)  # type: ignore[operator]
        return torch.stack(sides).mean(dim=0), sides
