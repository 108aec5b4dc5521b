"""An ensemble of segmentation networks: their probabilities, averaged by share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Weighted mean of the members' probabilities, as logits.

    In the style of the CNN + U-Net ensemble of Ali, Gilani, Waris, Zafar, Jamil (IEEE Access 2020), which publishes no
    code. Faithful: both networks are trained by themselves and their outputs fused. Our choice: one share a member, learned
    on validation, instead of their rules by class.

    Args:
        members: networks with logits (B, 1, H, W).
        shares: weight of each member; they sum to 1.
    """

    def __init__(self, members: Sequence[nn.Module], shares: Sequence[float]) -> None:
        super().__init__()
        if len(members) != len(shares) or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"{len(members)} members need as many shares that sum to 1; got {list(shares)}")
        self.members = nn.ModuleList(members)
        self.shares = tuple(float(share) for share in shares)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of a normalised image (B, 3, H, W)."""
        parts = [share * torch.sigmoid(member(image).float()) for member, share in zip(self.members, self.shares, strict=True)]
        return torch.logit(torch.stack(parts).sum(dim=0), eps=1e-6)
