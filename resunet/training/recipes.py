"""Every run there is; RECIPES lists them by name. A recipe and a seed fix a run completely."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from resunet.data.augmentation import GENTLE, STRONG, AugmentationRanges
from resunet.data.splits import FOLDS
from resunet.errors import InputError


@dataclass(frozen=True)
class Phase:
    """Some epochs at one input size: a window of `size` pixels is cropped, or the whole slice shrunk to it."""

    epochs: int
    size: int
    scale: tuple[float, float] = (0.85, 1.2)
    crop: bool = True


@dataclass(frozen=True)
class Recipe:
    """How one model is trained. An epoch is `samples_per_epoch` weighted draws, not a pass over the data.

    Attributes:
        display_name: what people read; `name` stands in paths and commands.
        task: "segmentation" or "classification"; where the data set tells kinds of tumour, the classifier tells them, too.
        data_set: "LGG" or "T1CE"; a folder given with --data takes its place.
        phases: run one after the other; the last one's size is the model's input size.
        slices_per_example: neighbouring slices, which share geometry and intensities; more than 1 for networks that see across
            slices. Draws and batches are counted in slices all the same.
        tumour_share: share of the other draws that show a tumour; of several slices, the one that the others are laid around.
        without_tumour_share: share of the draws that come from people without a tumour (NO_TUMOUR_DATA), where the data
            set is LGG.
        patience: epochs of the last phase without improvement on validation before training stops early.
        imagenet: start from ImageNet weights, where the architecture has some.
        start_from: name of a model of the same architecture whose weights training goes on from.
        auxiliary_masks: train the classifier's feature maps on the masks too.
        deep_supervision: train every side output of the network on the mask, not only their mean.
        augmentation: ranges; a phase's `scale` takes the place of theirs.
        split_scheme: "patient" (the committed split), "slice" (random slices) or "fold0" to "fold4".
        keep_weights: whether promotion keeps the weights; ablations keep everything but them.
    """

    name: str
    display_name: str
    architecture: str
    task: str
    phases: tuple[Phase, ...]
    loss: str = "tversky_bce"
    data_set: str = "LGG"
    samples_per_epoch: int = 1600
    batch_size: int = 16
    slices_per_example: int = 1
    tumour_share: float = 0.5
    without_tumour_share: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    clip_norm: float = 1.0
    ema_decay: float = 0.995
    patience: int = 12
    imagenet: bool = False
    start_from: str = ""
    auxiliary_masks: bool = False
    deep_supervision: bool = False
    augmentation: AugmentationRanges = GENTLE
    seed: int = 1
    split_scheme: str = "patient"
    keep_weights: bool = True

    def __post_init__(self) -> None:
        if self.slices_per_example > 1 and (self.augmentation.lesion_copy_paste or self.batch_size % self.slices_per_example):
            raise ValueError("examples of several slices have no copied lesions, and fill whole batches")

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

    @property
    def input_size(self) -> int:
        return self.phases[-1].size

    @property
    def steps_per_epoch(self) -> int:
        return self.samples_per_epoch // self.batch_size

    @property
    def examples_per_batch(self) -> int:
        return self.batch_size // self.slices_per_example

    def phase_of(self, epoch: int) -> Phase:
        """The phase that epoch `epoch` (from 0) belongs to."""
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase
            epoch -= phase.epochs
        raise IndexError("epoch is past the end of the recipe")

    def describe(self) -> dict[str, Any]:
        """The recipe as plain values for config.json."""
        return asdict(self)


def _variant(base: Recipe, name: str, display_name: str, **changes: Any) -> Recipe:
    return replace(base, name=name, display_name=display_name, **changes)


CLASSIFIER_LGG = Recipe(
    "resnet50",
    "ResNet-50",
    "resnet50",
    "classification",
    (Phase(24, 128, crop=False), Phase(10, 192, crop=False)),
    learning_rate=1e-3,
    weight_decay=5e-2,
    auxiliary_masks=True,
)
# People without a tumour, of whom FLAIR alone is known, are an eighth of the draws. That a slice repeats FLAIR, or where it
# comes from, must not give its label away: a fifth of all slices lose the other sequences, a fifth receive a lesion.
WITHOUT_TUMOUR_SHARE = 0.125
CLASSIFIER = replace(
    CLASSIFIER_LGG,
    without_tumour_share=WITHOUT_TUMOUR_SHARE,
    augmentation=replace(GENTLE, flair_only=0.2, lesion_copy_paste=0.2),
)
# As the paper trains it, for whoever has ImageNet's weights.
CLASSIFIER_IMAGENET = _variant(
    CLASSIFIER, "resnet50_imagenet", "ResNet-50 from ImageNet", learning_rate=3e-4, imagenet=True, keep_weights=False
)
# Crops of 192 from slices shrunk by up to a third show most heads whole at 1.8 times the speed; the last epochs see
# slices as they are.
LITE_LGG = Recipe(
    "resunet_lite",
    "ResUNet-Lite",
    "resunet_lite",
    "segmentation",
    (Phase(20, 192, (0.6, 1.2)), Phase(3, 256, (0.8, 1.25))),
    samples_per_epoch=3200,
    learning_rate=1e-3,
    weight_decay=5e-2,
    ema_decay=0.998,
    imagenet=True,
    # Other hospitals may have nothing but FLAIR.
    augmentation=replace(STRONG, flair_only=0.2),
)
LITE_3D_LGG = _variant(
    LITE_LGG,
    "resunet_lite_3d",
    "ResUNet-Lite 3D",
    architecture="resunet_lite_3d",
    slices_per_example=16,
    samples_per_epoch=6400,
    batch_size=32,
    tumour_share=0.7,
    augmentation=replace(LITE_LGG.augmentation, lesion_copy_paste=0.0),
)
LITE, LITE_3D = (replace(each, without_tumour_share=WITHOUT_TUMOUR_SHARE) for each in (LITE_LGG, LITE_3D_LGG))
# From a volume model that saw no people without a tumour, in four short epochs instead of 23: LITE_3D for two cores.
LITE_3D_FURTHER = _variant(
    LITE_3D,
    "resunet_lite_3d_further",
    "ResUNet-Lite 3D",
    phases=(replace(LITE_3D.phases[-1], epochs=4),),
    samples_per_epoch=3200,
    learning_rate=2e-4,
    imagenet=False,
    start_from="resunet_lite_3d",
)
# Stage 1 comes first: the gate of every segmentation model is chosen with it.
PIPELINE = (CLASSIFIER, LITE, LITE_3D)

# The comparison: all rows have the same data, size, loss, augmentation, epochs and seed unless their names say so.
BASELINE = Recipe("resunet", "ResUNet", "resunet", "segmentation", (Phase(20, 128, crop=False),))
ABLATION = replace(BASELINE, keep_weights=False)

UNET = _variant(BASELINE, "unet", "U-Net", architecture="unet")

ARCHITECTURES = (
    BASELINE,
    UNET,
    _variant(BASELINE, "cnn", "CNN", architecture="cnn"),
    _variant(BASELINE, "seresunet", "SEResU-Net", architecture="seresunet"),
    _variant(BASELINE, "resunet_plus", "ResUNet+", architecture="resunet_plus"),
    _variant(BASELINE, "agresunet", "AGResU-Net", architecture="agresunet"),
    _variant(BASELINE, "unet_plus_plus", "U-Net++", architecture="unet_plus_plus", deep_supervision=True),
)


def _loss_run(loss: str, seed: int = 1) -> Recipe:
    name, words = f"resunet_{loss}", f"ResUNet, {LOSS_NAMES[loss]} loss"
    suffix, more = (f"_seed{seed}", f", seed {seed}") if seed > 1 else ("", "")
    return _variant(ABLATION, name + suffix, words + more, loss=loss, seed=seed)


def _folds(base: Recipe) -> tuple[Recipe, ...]:
    return tuple(
        _variant(base, f"{base.name}_fold{k}", f"{base.display_name}, fold {k}", split_scheme=f"fold{k}", keep_weights=False)
        for k in range(FOLDS)
    )


LOSS_NAMES = {"tversky": "Tversky", "bce": "BCE", "dice": "Dice", "focal_tversky": "focal Tversky"}
RANDOM_SLICES: dict[str, Any] = {"split_scheme": "slice", "keep_weights": False}
SLICE_RUNS = (
    _variant(BASELINE, "resunet_slice", "ResUNet, random slices", **RANDOM_SLICES),
    _variant(CLASSIFIER_LGG, "resnet50_slice", "ResNet-50, random slices", **RANDOM_SLICES),
    _variant(LITE_LGG, "resunet_lite_slice", "ResUNet-Lite, random slices", **RANDOM_SLICES),
)
# In the order in which they tell most; `resunet train --all` goes through them.
ABLATIONS = (
    *map(_loss_run, LOSS_NAMES),
    *SLICE_RUNS,
    *_folds(LITE_LGG),
    *_folds(LITE_3D_LGG),
    *(_loss_run(loss, seed) for seed in (2, 3) for loss in ("tversky", "bce", "dice")),
    *_folds(UNET),
)

# Other tumours, on contrast-enhanced T1 in three planes. Every slice shows one, so there is nowhere to paste another.
T1CE: dict[str, Any] = {"data_set": "T1CE"}
LITE_T1CE = _variant(
    LITE_LGG,
    "resunet_lite_t1ce",
    "ResUNet-Lite T1-CE",
    architecture="resunet_lite_kind",
    augmentation=replace(STRONG, missing_channel=0.0, lesion_copy_paste=0.0),
    **T1CE,
)
# Validation stands still from the eleventh epoch on: the runs that answer a question take half the epochs.
LITE_T1CE_STUDY = replace(LITE_T1CE, phases=(replace(LITE_T1CE.phases[0], epochs=10), replace(LITE_T1CE.phases[1], epochs=2)))
# The head on the flagship's encoder tells kinds better on validation, so that this keeps its evidence alone.
RESNET_T1CE = _variant(CLASSIFIER_LGG, "resnet50_t1ce", "ResNet-50 T1-CE", keep_weights=False, **T1CE)
T1CE_STUDY = (
    LITE_T1CE,
    RESNET_T1CE,
    _variant(BASELINE, "resunet_t1ce", "ResUNet T1-CE", keep_weights=False, **T1CE),
    _variant(UNET, "unet_t1ce", "U-Net T1-CE", keep_weights=False, **T1CE),
    *_folds(LITE_T1CE_STUDY),
    _variant(LITE_T1CE_STUDY, "resunet_lite_t1ce_slice", "ResUNet-Lite T1-CE, random slices", **RANDOM_SLICES),
    _variant(
        LITE_T1CE_STUDY,
        "resunet_lite_t1ce_outline",
        "ResUNet-Lite T1-CE, outline alone",
        architecture="resunet_lite",
        keep_weights=False,
    ),
)
STUDY = (*PIPELINE, *ARCHITECTURES, *ABLATIONS, *T1CE_STUDY)

TINY: dict[str, Any] = {"samples_per_epoch": 16, "batch_size": 4, "ema_decay": 0.5}
SMOKE = (
    _variant(BASELINE, "smoke", "Smoke test", phases=(Phase(2, 64),), **TINY),
    _variant(CLASSIFIER_LGG, "smoke_stage1", "Smoke test of stage 1", phases=(Phase(1, 64, crop=False),), **TINY),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*STUDY, CLASSIFIER_IMAGENET, LITE_3D_FURTHER, *SMOKE)}


def find_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of that name, with fields replaced where given. Raises InputError for an unknown name."""
    if name not in RECIPES:
        raise InputError(f"There is no recipe '{name}'; choose one of {', '.join(RECIPES)}.")
    return replace(RECIPES[name], **changes)
