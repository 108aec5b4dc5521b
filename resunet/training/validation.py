"""One pass over the validation slices with the averaged weights: the figures of a row of history.csv."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pandas as pd
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import nn

from resunet.data.slices import SliceCache, neighbours
from resunet.evaluation.metrics import count_pixels, table_dice, table_iou, volumes
from resunet.losses import Loss
from resunet.training.augmentation import shrunk
from resunet.training.devices import mixed_precision
from resunet.training.distributed import gather, rank, world
from resunet.training.recipes import Recipe
from resunet.training.sampling import Batch

BATCH = 32


def validation_batches(cache: SliceCache, recipe: Recipe, device: torch.device) -> Iterator[tuple[list[int], Batch]]:
    """This process's share of the slices, in batches on the device, with their positions.

    A batch is all neighbouring slices of a patient for a network that sees across slices, else up to BATCH slices.
    """
    size = recipe.input_size
    for positions in _shares(cache, recipe):
        images = torch.from_numpy(cache.images[positions]).to(device).float().permute(0, 3, 1, 2)
        masks = torch.from_numpy(cache.masks[positions]).to(device).float()[:, None]
        yield positions, Batch(shrunk(images, size), shrunk(masks, size), masks.flatten(1).amax(dim=1, keepdim=True))


def _shares(cache: SliceCache, recipe: Recipe) -> Iterator[list[int]]:
    if recipe.sequence > 1:
        numbers = iter(range(len(cache)))
        runs = [list(islice(numbers, len(run))) for run in neighbours(cache.records)]
        yield from runs[rank() :: world()]
        return
    mine = list(range(rank(), len(cache), world()))
    yield from (mine[start : start + BATCH] for start in range(0, len(mine), BATCH))


@torch.no_grad()
def validate(
    model: nn.Module, cache: SliceCache, recipe: Recipe, loss: Loss, device: torch.device, dtype: torch.dtype
) -> dict[str, float]:
    """Validation figures by name; the same on every process.

    Segmentation: val_loss (mean over slices), val_dice and val_iou (mean over patients of the volume's, at 0.5).
    Classification: val_loss, val_accuracy (at 0.5) and val_auroc over slices.
    """
    model.eval()
    rows: list[Any] = []
    for positions, batch in validation_batches(cache, recipe, device):
        with mixed_precision(device, dtype):
            logits = model(batch.images).float()
        if recipe.task == "segmentation":
            counts = count_pixels((logits[:, 0] > 0).cpu().numpy(), (batch.masks[:, 0] > 0.5).cpu().numpy())
            # Of one slice each, on the device; all are fetched together, because each transfer waits for the device.
            losses = torch.stack([loss(*pair) for pair in zip(logits.split(1), batch.masks.split(1), strict=True)]).tolist()
            rows += [
                {
                    "patient": cache.records[position].patient,
                    "loss": losses[i],
                    **{name: getattr(counts, name)[i] for name in ("tp", "fp", "fn")},
                }
                for i, position in enumerate(positions)
            ]
        else:
            entropy = nn.functional.binary_cross_entropy_with_logits(logits, batch.labels, reduction="none")
            columns = (tensor[:, 0].tolist() for tensor in (entropy, logits, batch.labels))
            rows += [
                {"loss": value, "logit": logit, "label": bool(label)} for value, logit, label in zip(*columns, strict=True)
            ]
    table = pd.DataFrame(gather(rows))
    return _segmentation(table) if recipe.task == "segmentation" else _classification(table)


def _segmentation(table: pd.DataFrame) -> dict[str, float]:
    patients = volumes(table)
    with_tumour = patients[patients["tp"] + patients["fn"] > 0]
    return {
        "val_loss": float(table["loss"].mean()),
        "val_dice": float(table_dice(with_tumour).mean()),
        "val_iou": float(table_iou(with_tumour).mean()),
    }


def _classification(table: pd.DataFrame) -> dict[str, float]:
    both = table["label"].nunique() == 2
    return {
        "val_loss": float(table["loss"].mean()),
        "val_accuracy": float(accuracy_score(table["label"], table["logit"] > 0)),
        "val_auroc": float(roc_auc_score(table["label"], table["logit"])) if both else float("nan"),
    }
