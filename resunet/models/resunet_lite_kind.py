"""ResUNet-Lite that also says which kind of tumour it outlines."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resunet.models.resunet_lite import GROUPS, SKIPS, ResUNetLite, with_even_sides

DROPOUT = 0.3


class ResUNetLiteKind(ResUNetLite):
    """ResUNetLite with a second head, which classifies what the first one outlines (our design).

    The head sees the mean of the encoder's last features over the slice, and the means over the outlined tumour of the
    features at strides 16 and 32, each position weighed by the predicted probability. No gradient flows through that weight:
    the outline answers to the mask alone.

    Args:
        channels: of the image, 1 or 3.
        classes: kinds of tumour to tell apart.
    """

    def __init__(self, channels: int = 3, classes: int = 3) -> None:
        super().__init__(channels)
        middle, last = (GROUPS[index].width for index in SKIPS[-2:])
        self.kind = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(middle + 2 * last, classes))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Logits (B, 1, H, W) of the outline and (B, classes) of the kind, of a normalised image (B, C, H, W)."""
        maps = self._encode(image)
        outline = self._logits(maps, image, lambda features, level: features)
        tumour = torch.sigmoid(with_even_sides(outline.detach()).float())
        middle, last = maps[-2:]
        features = (last.mean(dim=(2, 3)), weighted_mean(middle, tumour, 16), weighted_mean(last, tumour, 32))
        return outline, self.kind(torch.cat(features, dim=1))


def weighted_mean(features: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Mean of features (B, C, h, w) over positions, (B, C), weighed by the mean of `weight` (B, 1, H, W) in each.

    Args:
        stride: pixels of `weight` along the side of a position; h is H / stride, rounded down.
    """
    shares = nn.functional.avg_pool2d(weight, stride).to(features.dtype)
    return (features * shares).sum(dim=(2, 3)) / (shares.sum(dim=(2, 3)) + 1e-3)
