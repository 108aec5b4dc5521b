"""Every architecture by name.

Adding one is a file beside this and an entry in SEGMENTATION, OUTLINE_AND_KIND or CLASSIFICATION; the contract tests pick it
up.
"""

from __future__ import annotations

from collections.abc import Callable

try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"Networks need PyTorch ({error.name} is missing); run pip install -r requirements-train.txt.", name=error.name
    ) from None

from resunet.errors import InputError
from resunet.model_folder import ModelFolder
from resunet.models.agresunet import AGResUNet
from resunet.models.classifier import ResNet50Classifier
from resunet.models.cnn import CNN
from resunet.models.pretrained import load_weights
from resunet.models.resunet import ResUNet
from resunet.models.resunet_lite import ResUNetLite
from resunet.models.resunet_lite_3d import ResUNetLite3D
from resunet.models.resunet_lite_kind import ResUNetLiteKind
from resunet.models.resunet_plus import ResUNetPlus
from resunet.models.seresunet import SEResUNet
from resunet.models.unet import UNet
from resunet.models.unet_plus_plus import UNetPlusPlus

SEGMENTATION: dict[str, Callable[..., nn.Module]] = {
    "cnn": CNN,
    "unet": UNet,
    "unet_plus_plus": UNetPlusPlus,
    "resunet": ResUNet,
    "seresunet": SEResUNet,
    "resunet_plus": ResUNetPlus,
    "agresunet": AGResUNet,
    "resunet_lite": ResUNetLite,
    "resunet_lite_3d": ResUNetLite3D,
}
OUTLINE_AND_KIND: dict[str, Callable[..., nn.Module]] = {"resunet_lite_kind": ResUNetLiteKind}
CLASSIFICATION: dict[str, Callable[..., nn.Module]] = {"resnet50": ResNet50Classifier}
MODELS = {**SEGMENTATION, **OUTLINE_AND_KIND, **CLASSIFICATION}
TELL_KINDS = {*OUTLINE_AND_KIND, *CLASSIFICATION}  # those that can say which kind of tumour a slice shows


def build_model(architecture: str, channels: int = 3, classes: int = 0) -> nn.Module:
    """A model with fresh weights.

    Args:
        channels: of its images, 1 or 3.
        classes: kinds of tumour that it tells apart, where it can; 0 for none.

    Raises:
        InputError: the name is not in MODELS, or the model cannot tell kinds apart.
    """
    if architecture not in MODELS:
        raise InputError(f"There is no architecture '{architecture}'; choose one of {', '.join(MODELS)}.")
    if not classes:
        return MODELS[architecture](channels)
    if architecture not in TELL_KINDS:
        raise InputError(f"{architecture} cannot tell kinds of tumour apart; choose one of {', '.join(sorted(TELL_KINDS))}.")
    return MODELS[architecture](channels, classes)


def context_of(architecture: str) -> int:
    """How many slices before and after its own a network sees; 0 for one that sees a slice at a time."""
    return int(getattr(MODELS[architecture], "CONTEXT", 0))


def load_network(folder: ModelFolder) -> nn.Module:
    """The trained network of a model folder, in float32 and eval mode, weights checked and loaded strictly.

    Raises:
        InputError: configuration or weights are missing, damaged or do not belong together.
    """
    config = folder.config()
    return load_weights(build_model(config.architecture, config.channels, len(config.classes)), folder)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_gflop(model: nn.Module, size: int, channels: int = 3) -> float:
    """Floating-point operations of one forward pass on one (channels, size, size) image, in 1e9; a multiply-add is two."""
    from torch.utils.flop_counter import FlopCounterMode  # pulls in triton, 76 MB, where that is installed

    was_training = model.training
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(torch.zeros(1, channels, size, size, device=next(model.parameters()).device))
    model.train(was_training)
    return counter.get_total_flops() / 1e9
