"""One pass over the validation slices with the averaged weights: the figures of a row of history.csv."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import Tensor, nn

from resunet.data.slices import SliceCache, neighbours
from resunet.evaluation.overlap import count_pixels, table_dice, table_iou, volumes
from resunet.losses import Loss
from resunet.training.augment import shrunk
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
        labels = masks.flatten(1).amax(dim=1, keepdim=True)
        classes = torch.from_numpy(cache.classes[positions]).to(device)
        yield positions, Batch(shrunk(images, size), shrunk(masks, size), labels, classes)


def _shares(cache: SliceCache, recipe: Recipe) -> Iterator[list[int]]:
    if recipe.slices_per_example > 1:
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
    Classification: val_loss, val_accuracy (at 0.5, or of the likeliest kind) and val_auroc (over kinds: the mean of each
    against the others) over slices. A network that does both has val_accuracy, too.
    """
    model.eval()
    rows: list[Any] = []
    for positions, batch in validation_batches(cache, recipe, device):
        with mixed_precision(device, dtype):
            outputs = model(batch.images)
        logits, *further = (output.float() for output in (outputs if isinstance(outputs, tuple) else (outputs,)))
        kinds = further[0] if further else logits
        told = [{}] * len(positions) if kinds.dim() != 2 else _told_rows(kinds, batch)
        if recipe.task == "segmentation":
            counts = count_pixels((logits[:, 0] > 0).cpu().numpy(), (batch.masks[:, 0] > 0.5).cpu().numpy())
            # Of one slice each, on the device; all are fetched together, because each transfer waits for the device.
            losses = torch.stack([loss(*pair) for pair in zip(logits.split(1), batch.masks.split(1), strict=True)]).tolist()
            rows += [
                {
                    "patient": cache.records[position].patient,
                    "loss": losses[i],
                    **{name: getattr(counts, name)[i] for name in ("tp", "fp", "fn")},
                    **told[i],
                }
                for i, position in enumerate(positions)
            ]
        else:
            rows += [{"loss": row["entropy"], **row} for row in told]
    table = pd.DataFrame(gather(rows))
    return _segmentation(table) if recipe.task == "segmentation" else _classification(table)


def _told_rows(logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
    """One row a slice: cross-entropy, the true class, and the probability of each (of a tumour, or of each kind)."""
    if logits.shape[1] == 1:
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, batch.labels, reduction="none")[:, 0]
        share = torch.sigmoid(logits.double())
        probabilities = torch.cat((1 - share, share), dim=1)
        truth = batch.labels[:, 0].long()
    else:
        entropy = nn.functional.cross_entropy(logits, batch.classes, ignore_index=-1, reduction="none")
        probabilities = torch.softmax(logits.double(), dim=1)
        truth = batch.classes
    columns = zip(entropy.tolist(), truth.tolist(), probabilities.tolist(), strict=True)
    return [{"entropy": value, "truth": label, "probabilities": shares} for value, label, shares in columns]


def _segmentation(table: pd.DataFrame) -> dict[str, float]:
    patients = volumes(table)
    with_tumour = patients[patients["tp"] + patients["fn"] > 0]
    return {
        "val_loss": float(table["loss"].mean()),
        "val_dice": float(table_dice(with_tumour).mean()),
        "val_iou": float(table_iou(with_tumour).mean()),
        **({"val_accuracy": _accuracy(table)} if "truth" in table else {}),
    }


def _classification(table: pd.DataFrame) -> dict[str, float]:
    probabilities = np.array(table["probabilities"].tolist())
    complete = table["truth"].nunique() == probabilities.shape[1]
    shares = probabilities if probabilities.shape[1] > 2 else probabilities[:, 1]
    return {
        "val_loss": float(table["loss"].mean()),
        "val_accuracy": _accuracy(table),
        "val_auroc": float(roc_auc_score(table["truth"], shares, multi_class="ovr")) if complete else float("nan"),
    }


def _accuracy(table: pd.DataFrame) -> float:
    return float(accuracy_score(table["truth"], np.array(table["probabilities"].tolist()).argmax(axis=1)))
