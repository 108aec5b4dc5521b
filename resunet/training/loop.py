"""The training loop: one recipe, one run folder, exact to the step however often it is interrupted."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn, optim
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from resunet.catalogue import find_model
from resunet.data.slices import SliceCache
from resunet.data.sources import open_splits
from resunet.files import sole_writer, write_csv
from resunet.inference.hardware import thread_count
from resunet.losses import Loss, build_loss
from resunet.model_folder import CHECKPOINT, HISTORY, ModelConfig, ModelFolder
from resunet.models import build_model
from resunet.models.classifier import AuxiliaryMaskHeads, ResNet50Classifier
from resunet.models.pretrained import load_weights
from resunet.models.resunet_lite import ResUNetLite
from resunet.models.unet_plus_plus import DeepSupervision
from resunet.training.average import averaged
from resunet.training.devices import compute_dtype, default_device, mixed_precision
from resunet.training.distributed import mean_over_processes, rank, wait_for_all, world
from resunet.training.publish import describe_run, publish_best
from resunet.training.recipes import Recipe
from resunet.training.sampling import FRAME, Batch, TrainingSlices, epoch_plan
from resunet.training.snapshots import SnapshotRecorder
from resunet.training.state import Progress, load_checkpoint, save_checkpoint
from resunet.training.step import Step
from resunet.training.validation import validate

CHECKPOINT_STEPS = 50
GPU_THREADS = 4
KIND_WEIGHT = 0.5  # of the cross-entropy over kinds of tumour beside the outline's loss
AUXILIARY_WEIGHT = 0.5
FINAL_RATE = 0.01  # share of the peak learning rate at the end of the cosine


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to FINAL_RATE of the peak; `step` counts from 0 over the whole run."""
    total = recipe.epochs * recipe.steps_per_epoch
    warmup = recipe.warmup_epochs * recipe.steps_per_epoch
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1.0, total - warmup)
    return recipe.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def score(recipe: Recipe, figures: dict[str, float]) -> float:
    """The validation figure that picks the best epoch; higher is better."""
    return figures["val_dice" if recipe.task == "segmentation" else "val_auroc"]


def slice_loss(logits: Tensor, labels: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of a slice's logits: (B, 1) against labels (B, 1), or (B, K) against classes (B,), -1 left out."""
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
    return nn.functional.cross_entropy(logits.float(), classes, ignore_index=-1)


@dataclass
class Trainer:
    """The objects of one run on this process. `Trainer.fit` does the work."""

    recipe: Recipe
    run: ModelFolder
    config: ModelConfig
    train: SliceCache
    val: SliceCache
    imagenet: Path | None = None
    resumes: bool = False

    def __post_init__(self) -> None:
        self.device = default_device()
        # OpenMP alone ignores container quotas; beside a GPU, more threads only get in each other's way.
        torch.set_num_threads(min(thread_count(), GPU_THREADS) if self.device.type == "cuda" else thread_count())
        self.dtype = compute_dtype(self.device)
        on_gpu = self.device.type == "cuda"
        torch.backends.cudnn.benchmark = on_gpu  # depthwise convolutions are slow without
        torch.manual_seed(self.recipe.seed)
        self.model = self._build().to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = averaged(self.model, self.recipe.ema_decay)
        rate = torch.tensor(self.recipe.learning_rate, device=self.device) if on_gpu else self.recipe.learning_rate
        self.optimiser = optim.AdamW(self.model.parameters(), lr=rate, weight_decay=self.recipe.weight_decay, capturable=on_gpu)
        self._length = (self.recipe.slices_per_example,) if self.recipe.slices_per_example > 1 else ()
        self.loss: Loss = build_loss(self.recipe.loss)
        self.trained = DistributedDataParallel(self.model) if world() > 1 else self.model
        self.progress = Progress(recipe=self.recipe.describe(), data=self.config.data_fingerprint)
        self.step = Step(self.model, self.optimiser, self._loss_of, self.recipe.clip_norm, on_gpu and world() == 1)

    def _build(self) -> nn.Module:
        """The network, with what only its training needs."""
        model: nn.Module = build_model(self.recipe.architecture, self.config.channels, len(self.config.classes))
        if self.recipe.imagenet and not self._has_checkpoint:
            assert isinstance(model, ResUNetLite | ResNet50Classifier)
            model.load_imagenet(self.imagenet)
        elif self.recipe.start_from and not self._has_checkpoint:
            load_weights(model, find_model(self.recipe.start_from))
        if self.recipe.auxiliary_masks:
            assert isinstance(model, ResNet50Classifier)
            model = AuxiliaryMaskHeads(model)
        elif self.recipe.deep_supervision:
            model = DeepSupervision(model)
        if world() > 1 and self.device.type == "cuda":  # torch has no such norm for processors: there each half is its own
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model

    @property
    def _has_checkpoint(self) -> bool:
        return self.resumes and (self.run.path / CHECKPOINT).exists()

    def resume(self) -> None:
        """Go back to the last checkpoint of the run folder, where there is one and it is wanted. Raises InputError."""
        if self._has_checkpoint:
            path = self.run.path / CHECKPOINT
            self.progress = load_checkpoint(path, self.progress, self.model, self.average, self.optimiser)

    def fit(self) -> None:
        """Train from where `progress` stands to the last epoch or to early stopping."""
        slices = TrainingSlices(self.train, self.recipe, self.device)
        # The samples are slices of different heads, which say nothing about a network that sees across slices.
        suits = self.recipe.task == "segmentation" and self.recipe.slices_per_example == 1 and self.config.channels == 3
        snapshots = SnapshotRecorder(self.run, self.recipe.input_size, self.progress.epoch) if suits and rank() == 0 else None
        total = self.recipe.epochs * self.recipe.steps_per_epoch
        done = self.progress.epoch * self.recipe.steps_per_epoch + self.progress.step
        with tqdm(total=total, initial=done, desc=self.recipe.name, disable=rank() > 0, mininterval=5) as bar:
            while self.progress.epoch < self.recipe.epochs and not self._out_of_patience():
                self._train_epoch(slices, bar)
                self._end_epoch(snapshots, bar)

    def _batches(self, slices: TrainingSlices) -> Iterator[Batch]:
        """This process's share of what is left of the epoch's batches."""
        plan = epoch_plan(self.train.has_tumour, self.train.without_tumour, self.recipe, self.progress.epoch)
        size = self.recipe.examples_per_batch
        for start in range(self.progress.step * size, len(plan), size):
            yield slices.batch(plan[start + rank() : start + size : world()])

    def _train_epoch(self, slices: TrainingSlices, bar: tqdm[Any]) -> None:
        self.model.train()
        progress = self.progress
        started = time.monotonic()
        # Losses are added up on the device, because reading one makes the processor wait for it.
        losses = torch.tensor(progress.loss_sum, dtype=torch.float64, device=self.device)
        for batch in self._batches(slices):
            done = progress.epoch * self.recipe.steps_per_epoch + progress.step
            self._set_rate(learning_rate(self.recipe, done))
            losses += self._step(batch)
            progress.step += 1
            bar.update()
            if progress.step % CHECKPOINT_STEPS == 0 and progress.step < self.recipe.steps_per_epoch:
                now = time.monotonic()
                progress.seconds = progress.seconds + now - started
                started = now
                progress.loss_sum = losses.item()
                self._checkpoint()
        progress.loss_sum = losses.item()
        progress.seconds += time.monotonic() - started

    def _set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _step(self, batch: Batch) -> Tensor:
        """One step; returns the loss."""
        loss = self.step(batch)
        self.average.update_parameters(self.model)
        return loss

    def _loss_of(self, batch: Batch) -> Tensor:
        images, masks, labels, classes = batch
        with mixed_precision(self.device, self.dtype):
            outputs = self.trained(images, *self._length)
        if isinstance(outputs, Tensor):
            return self.loss(outputs, masks) if self.recipe.task == "segmentation" else slice_loss(outputs, labels, classes)
        logits, cells = outputs
        if isinstance(cells, Tensor):
            return self.loss(logits, masks) + KIND_WEIGHT * slice_loss(cells, labels, classes)
        if self.recipe.task == "segmentation":
            return torch.stack([self.loss(side, masks) for side in cells]).mean()
        smaller = [nn.functional.adaptive_max_pool2d(masks, cell.shape[-2:]) for cell in cells]
        auxiliary = torch.stack([self.loss(cell, mask) for cell, mask in zip(cells, smaller, strict=True)]).mean()
        return slice_loss(logits, labels, classes) + AUXILIARY_WEIGHT * auxiliary

    def _end_epoch(self, snapshots: SnapshotRecorder | None, bar: tqdm[Any]) -> None:
        """Validate the averaged weights, keep them if they are the best, write the row and the checkpoint."""
        progress = self.progress
        averaged = self.averaged_model()
        figures = validate(averaged, self.val, self.recipe, self.loss, self.device, self.dtype)
        row = {
            "epoch": progress.epoch + 1,
            "lr": float(self.optimiser.param_groups[0]["lr"]),
            "train_loss": mean_over_processes(progress.loss_sum / progress.step),
            **figures,
            "seconds": progress.seconds,
            "input_size": self.recipe.phase_of(progress.epoch).size,
        }
        if score(self.recipe, figures) > progress.best_score:
            progress.best_score = score(self.recipe, figures)
            progress.best_epoch = progress.epoch
            if rank() == 0:
                publish_best(self.run, averaged, self.config, row)
        if snapshots is not None:
            snapshots.record(averaged, self.device, self.dtype)
        if rank() == 0:
            self._write_history(row)
            bar.write("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
        progress.epoch = progress.epoch + 1
        progress.step = 0
        progress.loss_sum = 0.0
        progress.seconds = 0.0
        self._checkpoint()

    def averaged_model(self) -> nn.Module:
        """The exponential moving average of the network itself, without training-only heads."""
        module = self.average.module
        return module.network if isinstance(module, AuxiliaryMaskHeads | DeepSupervision) else module

    def _write_history(self, row: dict[str, float]) -> None:
        table = self.run.history() if row["epoch"] > 1 else None
        earlier = [] if table is None else table[table["epoch"] < row["epoch"]].to_dict("records")
        write_csv(self.run.path / HISTORY, pd.DataFrame([*earlier, row]))

    def _out_of_patience(self) -> bool:
        """Whether the last phase has gone `patience` epochs without improvement."""
        last_starts = self.recipe.epochs - self.recipe.phases[-1].epochs
        waited = self.progress.epoch - 1 - max(self.progress.best_epoch, last_starts)
        return self.progress.epoch > last_starts and waited >= self.recipe.patience

    def _checkpoint(self) -> None:
        if rank() == 0:
            save_checkpoint(self.run.path / CHECKPOINT, self.progress, self.model, self.average, self.optimiser)
        wait_for_all()


def train(
    recipe: Recipe, data: str | Path | None, out: Path, resume: bool = False, imagenet: Path | None = None
) -> ModelFolder:
    """Train `recipe` into the run folder `out`; with `resume`, go on from its last checkpoint.

    Args:
        imagenet: a file of ImageNet weights for recipes that start from them; by default they are fetched.

    Raises:
        InputError: no data, a checkpoint that cannot be used, or a folder that another process is training in.
    """
    with sole_writer(out) if rank() == 0 else nullcontext():
        return _train(recipe, data, ModelFolder(out), resume, imagenet)


def _train(recipe: Recipe, data: str | Path | None, run: ModelFolder, resume: bool, imagenet: Path | None) -> ModelFolder:
    splits = open_splits(data, recipe.split_scheme, recipe.data_set, recipe.without_tumour_share > 0)
    config = describe_run(run.name, recipe, splits)
    train_slices, val_slices = (
        SliceCache(splits.seen(split), FRAME, config.channels, splits.description.classes) for split in ("train", "val")
    )
    trainer = Trainer(recipe, run, config, train_slices, val_slices, imagenet, resume)
    trainer.resume()
    trainer.fit()
    return run
