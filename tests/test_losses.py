import math

import pytest
import torch
from monai.losses import DiceLoss, TverskyLoss

from resunet.errors import InputError
from resunet.losses import (
    FN_WEIGHT,
    FP_WEIGHT,
    LOSSES,
    SMOOTH,
    bce_loss,
    build_loss,
    dice_loss,
    focal_tversky_loss,
    tversky_bce_loss,
    tversky_index,
    tversky_loss,
)

# Probabilities 1, 1, 0, 0 against target 1, 0, 1, 0: one true positive, one false positive, one false negative.
SURE = 40.0
LOGITS = torch.tensor([SURE, SURE, -SURE, -SURE]).reshape(1, 1, 2, 2)
TARGET = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(1, 1, 2, 2)


def test_golden_index():
    assert tversky_index(LOGITS, TARGET).item() == pytest.approx((1 + SMOOTH) / (1 + 0.3 + 0.7 + SMOOTH))
    assert tversky_index(LOGITS, TARGET, 0.2, 0.9).item() == pytest.approx((1 + SMOOTH) / (1 + 0.2 + 0.9 + SMOOTH))


def test_special_cases_are_dice_and_jaccard():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    p = torch.sigmoid(logits)
    tp, total = (p * target).sum(), p.sum() + target.sum()
    assert tversky_index(logits, target, 0.5, 0.5).item() == pytest.approx(((tp + SMOOTH) / (total / 2 + SMOOTH)).item())
    assert tversky_index(logits, target, 1, 1).item() == pytest.approx(((tp + SMOOTH) / (total - tp + SMOOTH)).item())
    assert dice_loss(logits, target).item() == pytest.approx(tversky_loss(logits, target, 0.5, 0.5).item())


def test_which_weight_weighs_which_error():
    only_false_alarms, only_misses = torch.zeros_like(TARGET), torch.ones_like(TARGET)
    false_alarm = torch.full_like(TARGET, SURE)
    assert tversky_index(false_alarm, only_false_alarms).item() == pytest.approx(SMOOTH / (FP_WEIGHT * 4 + SMOOTH))
    assert tversky_index(-false_alarm, only_misses).item() == pytest.approx(SMOOTH / (FN_WEIGHT * 4 + SMOOTH))


def test_parity_with_monai():
    torch.manual_seed(1)
    logits, target = torch.randn(3, 1, 16, 16), (torch.rand(3, 1, 16, 16) > 0.8).float()
    theirs = TverskyLoss(sigmoid=True, alpha=FP_WEIGHT, beta=FN_WEIGHT, batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH)
    assert tversky_loss(logits, target).item() == pytest.approx(theirs(logits, target).item(), abs=1e-6)
    dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=2 * SMOOTH, smooth_dr=2 * SMOOTH)
    assert dice_loss(logits, target).item() == pytest.approx(dice(logits, target).item(), abs=1e-6)


def test_one_index_a_slice_without_pooling():
    logits, target = torch.cat([LOGITS, LOGITS]), torch.cat([TARGET, torch.zeros_like(TARGET)])
    expected = [(1 + SMOOTH) / (2 + SMOOTH), SMOOTH / (2 * FP_WEIGHT + SMOOTH)]
    assert tversky_index(logits, target, pool=False).tolist() == pytest.approx(expected)


def test_focal_and_combined_follow_from_the_index():
    index = tversky_index(LOGITS, TARGET).item()
    assert focal_tversky_loss(LOGITS, TARGET).item() == pytest.approx((1 - index) ** 0.75)
    assert tversky_bce_loss(LOGITS, TARGET).item() == pytest.approx(1 - index + bce_loss(LOGITS, TARGET).item())
    assert bce_loss(torch.zeros_like(TARGET), TARGET).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", LOSSES)
def test_false_alarms_on_an_empty_slice_cost_and_have_a_gradient(name: str):
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    loss = LOSSES[name](logits, torch.zeros(2, 1, 8, 8))
    loss.backward()
    assert loss.item() > 0.1
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_matches_finite_differences(name: str):
    torch.manual_seed(2)
    logits = torch.randn(1, 1, 3, 3, requires_grad=True)
    target = (torch.rand(1, 1, 3, 3) > 0.5).float()
    (gradient,) = torch.autograd.grad(LOSSES[name](logits, target), logits)
    for row in range(3):
        nudge = torch.zeros_like(logits)
        nudge[0, 0, row, 1] = 1e-2
        with torch.no_grad():
            slope = (LOSSES[name](logits + nudge, target) - LOSSES[name](logits - nudge, target)) / 2e-2
        assert gradient[0, 0, row, 1].item() == pytest.approx(slope.item(), abs=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_perfect_is_best(name: str):
    perfect, wrong = LOSSES[name]((TARGET * 2 - 1) * SURE, TARGET), LOSSES[name](LOGITS, TARGET)
    assert perfect.item() < 1e-4 < wrong.item()


def test_unknown_loss_names_the_known_ones():
    with pytest.raises(InputError, match="no loss 'huber'.*tversky"):
        build_loss("huber")
