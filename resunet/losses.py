"""Losses for segmentation, all from one Tversky index.

Salehi, Erdogmus, Gholipour, MLMI 2017 (Tversky loss); Abraham, Khan, ISBI 2019 (focal Tversky). Papers and libraries
disagree on which of alpha and beta weighs which error, so the arguments are named for what they weigh.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed import get_world_size, is_initialized
from torch.distributed.nn.functional import all_reduce

from resunet.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]

FP_WEIGHT, FN_WEIGHT = 0.3, 0.7  # the paper's setting: a missed pixel costs more than a false one
FOCAL_POWER = 0.75
SMOOTH = 1.0  # pixels; keeps the index defined, and its gradient alive, where the target is empty


def tversky_index(
    logits: Tensor, target: Tensor, fp_weight: float = FP_WEIGHT, fn_weight: float = FN_WEIGHT, pool: bool = True
) -> Tensor:
    """Soft Tversky index TP / (TP + fp_weight FP + fn_weight FN); 0.5 and 0.5 is Dice, 1 and 1 is Jaccard.

    Args:
        logits: (B, 1, H, W), before the sigmoid.
        target: (B, 1, H, W) in [0, 1].
        pool: sum the counts over the whole batch (over all processes, when training is distributed), so that false
            positives on slices with an empty target weigh against the batch's tumours; otherwise one index per slice.

    Returns:
        Index in (0, 1], a scalar with `pool`, else (B,).
    """
    probability = torch.sigmoid(logits.float())
    target = target.float()
    over = (1, 2, 3)
    counts = torch.stack(
        [(probability * target).sum(over), (probability * (1 - target)).sum(over), ((1 - probability) * target).sum(over)]
    )
    if pool:
        counts = counts.sum(dim=1)
        if torch.is_grad_enabled() and is_initialized() and get_world_size() > 1:
            counts = all_reduce(counts)
    hits, false_alarms, misses = counts
    return (hits + SMOOTH) / (hits + fp_weight * false_alarms + fn_weight * misses + SMOOTH)


def tversky_loss(logits: Tensor, target: Tensor, fp_weight: float = FP_WEIGHT, fn_weight: float = FN_WEIGHT) -> Tensor:
    """1 - Tversky index over the batch (Salehi 2017, eq. 4). Shapes as in `tversky_index`; returns a scalar in [0, 1)."""
    return 1 - tversky_index(logits, target, fp_weight, fn_weight)


def focal_tversky_loss(logits: Tensor, target: Tensor, power: float = FOCAL_POWER) -> Tensor:
    """(1 - Tversky index) ** power (Abraham 2019, eq. 4, whose gamma is 1 / power). Returns a scalar in [0, 1)."""
    return (1 - tversky_index(logits, target)).clamp_min(1e-7) ** power


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice: the Tversky loss with both errors weighed 0.5. Returns a scalar in [0, 1)."""
    return tversky_loss(logits, target, 0.5, 0.5)


def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy over pixels. Returns a scalar >= 0."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), target.float())


def tversky_bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Tversky loss plus binary cross-entropy: overlap drives recall, cross-entropy keeps probabilities calibrated."""
    return tversky_loss(logits, target) + bce_loss(logits, target)


LOSSES: dict[str, Loss] = {
    "tversky": tversky_loss,
    "focal_tversky": focal_tversky_loss,
    "dice": dice_loss,
    "bce": bce_loss,
    "tversky_bce": tversky_bce_loss,
}


def build_loss(name: str) -> Loss:
    """The loss of that name. Raises InputError for a name that is not in LOSSES."""
    if name not in LOSSES:
        raise InputError(f"There is no loss '{name}'; choose one of {', '.join(LOSSES)}.")
    return LOSSES[name]
