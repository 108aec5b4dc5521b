"""Every run there is, one line each in RECIPES. A recipe and a seed fix a run completely."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from resunet.data.augment import GENTLE, STRONG, Augmentation
from resunet.errors import InputError


@dataclass(frozen=True)
class Stage:
    """Some epochs at one input size. Segmentation crops a window of `size` pixels, classification shrinks to it."""

    epochs: int
    size: int
    scale: tuple[float, float] = (0.85, 1.2)


@dataclass(frozen=True)
class Recipe:
    """How one model is trained. An epoch is `samples_per_epoch` weighted draws, not a pass over the data.

    Attributes:
        task: "segmentation" or "classification".
        stages: run one after the other; the last one's size is the model's input size.
        tumour_share: share of the draws that show a tumour.
        simulated_share: share of the draws that come from the simulator.
        patience: epochs of the last stage without improvement on validation before training stops early.
        mask_help: train the classifier's feature maps on the masks too.
        augmentation: ranges; a stage's `scale` takes the place of theirs.
    """

    name: str
    architecture: str
    task: str
    stages: tuple[Stage, ...]
    loss: str = "tversky_bce"
    samples_per_epoch: int = 1600
    batch_size: int = 16
    tumour_share: float = 0.5
    simulated_share: float = 0.05
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    clip_norm: float = 1.0
    ema_decay: float = 0.995
    patience: int = 12
    mask_help: bool = False
    augmentation: Augmentation = GENTLE
    seed: int = 1

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def input_size(self) -> int:
        return self.stages[-1].size

    @property
    def steps_per_epoch(self) -> int:
        return self.samples_per_epoch // self.batch_size

    def stage_of(self, epoch: int) -> Stage:
        """The stage that epoch `epoch` (from 0) belongs to."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        raise IndexError("epoch is past the end of the recipe")

    def describe(self) -> dict[str, Any]:
        """The recipe as plain values for config.json."""
        return asdict(self)


# Crops of 192 from slices shrunk by up to a third show most heads whole at 1.8 times the speed; the last epochs see
# slices as they are.
PROGRESSIVE = (Stage(26, 192, (0.65, 1.15)), Stage(14, 256))

LONG = (Stage(31, 192, (0.6, 1.2)), Stage(8, 256, (0.8, 1.25)))

_ALL = (
    Recipe(
        "resunet_deep",
        "resunet_deep",
        "segmentation",
        LONG,
        samples_per_epoch=3200,
        weight_decay=5e-2,
        ema_decay=0.998,
        augmentation=STRONG,
    ),
    Recipe("resunet", "resunet", "segmentation", PROGRESSIVE),
    Recipe("unet", "unet", "segmentation", PROGRESSIVE),
    Recipe(
        "resnet50",
        "resnet50",
        "classification",
        (Stage(24, 128), Stage(10, 192)),
        learning_rate=1e-3,
        weight_decay=5e-2,
        mask_help=True,
    ),
    Recipe(
        "smoke",
        "resunet",
        "segmentation",
        (Stage(2, 64),),
        samples_per_epoch=16,
        batch_size=4,
        simulated_share=0.0,
        ema_decay=0.5,
    ),
    Recipe(
        "smoke_stage1",
        "resnet50",
        "classification",
        (Stage(1, 64),),
        samples_per_epoch=8,
        batch_size=4,
        simulated_share=0.0,
        mask_help=True,
    ),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def find_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of that name, with fields replaced where given. Raises InputError for an unknown name."""
    if name not in RECIPES:
        raise InputError(f"There is no recipe '{name}'; choose one of {', '.join(RECIPES)}.")
    return replace(RECIPES[name], **changes)
