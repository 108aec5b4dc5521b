"""Every run there is, one line each in RECIPES. A recipe and a seed fix a run completely."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from resunet.data.augment import GENTLE, STRONG, Augmentation
from resunet.errors import InputError


@dataclass(frozen=True)
class Stage:
    """Some epochs at one input size: a window of `size` pixels is cropped, or the whole slice shrunk to it."""

    epochs: int
    size: int
    scale: tuple[float, float] = (0.85, 1.2)
    crop: bool = True


@dataclass(frozen=True)
class Recipe:
    """How one model is trained. An epoch is `samples_per_epoch` weighted draws, not a pass over the data.

    Attributes:
        task: "segmentation" or "classification".
        stages: run one after the other; the last one's size is the model's input size.
        tumour_share: share of the draws that show a tumour.
        simulated_share: share of the draws that come from the simulator.
        patience: epochs of the last stage without improvement on validation before training stops early.
        imagenet: start from ImageNet weights, where the architecture has some.
        mask_help: train the classifier's feature maps on the masks too.
        deep_supervision: judge every side output of the network, not only their mean.
        augmentation: ranges; a stage's `scale` takes the place of theirs.
        protocol: "patient" (the committed split), "slice" (random slices) or "fold0" to "fold4".
        keep_weights: whether promotion keeps the weights; runs that answer a question keep everything but them.
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
    imagenet: bool = False
    mask_help: bool = False
    deep_supervision: bool = False
    augmentation: Augmentation = GENTLE
    seed: int = 1
    protocol: str = "patient"
    keep_weights: bool = True

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


def _named(base: Recipe, name: str, **changes: Any) -> Recipe:
    return replace(base, name=name, **changes)


# Crops of 192 from slices shrunk by up to a third show most heads whole at 1.8 times the speed; the last epochs see
# slices as they are.
LONG = Recipe(
    "resunet_deep",
    "resunet_deep",
    "segmentation",
    (Stage(31, 192, (0.6, 1.2)), Stage(8, 256, (0.8, 1.25))),
    samples_per_epoch=3200,
    weight_decay=5e-2,
    ema_decay=0.998,
    augmentation=STRONG,
)

# Stage 1 comes first: the gate of every segmentation model is chosen with it.
PIPELINE = (
    Recipe(
        "resnet50",
        "resnet50",
        "classification",
        (Stage(24, 128, crop=False), Stage(10, 192, crop=False)),
        learning_rate=1e-3,
        weight_decay=5e-2,
        mask_help=True,
    ),
    _named(
        LONG,
        "resunet_lite",
        architecture="resunet_lite",
        stages=(Stage(20, 192, (0.6, 1.2)), Stage(3, 256, (0.8, 1.25))),
        learning_rate=1e-3,
        imagenet=True,
    ),
)

# The comparison: every row but LONG has the same data, size, loss, augmentation, epochs and seed unless its name says so.
TWIN = Recipe("resunet", "resunet", "segmentation", (Stage(20, 128, crop=False),))
QUESTION = replace(TWIN, keep_weights=False)
CLASSIFIER_TWIN = replace(PIPELINE[0], name="resnet50_slice", protocol="slice", keep_weights=False)

ARCHITECTURES = (
    LONG,
    TWIN,
    _named(TWIN, "unet", architecture="unet"),
    _named(TWIN, "cnn", architecture="cnn"),
    _named(TWIN, "seresunet", architecture="seresunet"),
    _named(TWIN, "resunet_plus", architecture="resunet_plus"),
    _named(TWIN, "agresunet", architecture="agresunet"),
    _named(TWIN, "resunet_deep_128", architecture="resunet_deep"),
    _named(TWIN, "unet_plus_plus", architecture="unet_plus_plus", deep_supervision=True),
)
LOSS_RUNS = tuple(_named(QUESTION, f"resunet_{loss}", loss=loss) for loss in ("tversky", "bce", "dice", "focal_tversky"))
SLICE_RUNS = (_named(QUESTION, "resunet_slice", protocol="slice"), CLASSIFIER_TWIN)
DEEP_FOLDS = tuple(
    _named(QUESTION, f"resunet_deep_fold{fold}", architecture="resunet_deep", protocol=f"fold{fold}") for fold in range(5)
)
SEED_RUNS = tuple(
    _named(QUESTION, f"resunet_{loss}_seed{seed}", loss=loss, seed=seed)
    for seed in (2, 3)
    for loss in ("tversky", "bce", "dice")
)
UNET_FOLDS = tuple(_named(QUESTION, f"unet_fold{fold}", architecture="unet", protocol=f"fold{fold}") for fold in range(5))

# In the order in which they tell most; `resunet train --all` goes through them.
QUESTIONS = (*LOSS_RUNS, *SLICE_RUNS, *DEEP_FOLDS, *SEED_RUNS, *UNET_FOLDS)
STUDY = (*PIPELINE, *ARCHITECTURES, *QUESTIONS)

SMOKE = (
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
        (Stage(1, 64, crop=False),),
        samples_per_epoch=8,
        batch_size=4,
        simulated_share=0.0,
        mask_help=True,
    ),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*STUDY, *SMOKE)}


def find_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of that name, with fields replaced where given. Raises InputError for an unknown name."""
    if name not in RECIPES:
        raise InputError(f"There is no recipe '{name}'; choose one of {', '.join(RECIPES)}.")
    return replace(RECIPES[name], **changes)
