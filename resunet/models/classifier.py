"""Stage 1: ResNet-50 (He, Zhang, Ren, Sun, CVPR 2016), and the mask heads that it may be trained with."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from resunet.errors import InputError
from resunet.models.pretrained import Pretrained

IMAGENET = ResNet50_Weights.IMAGENET1K_V1  # the weights there were when ResNet-50 became everybody's starting point


class ResNet50Classifier(Pretrained, nn.Module):
    """ResNet-50 with one logit, of "this slice shows a tumour", or with one for each kind of tumour.

    Args:
        channels: of the image, 1 or 3.
        classes: kinds of tumour to tell apart; 0 for the one logit.
    """

    def __init__(self, channels: int = 3, classes: int = 0) -> None:
        super().__init__()
        self.backbone = resnet50(num_classes=classes or 1)
        if channels != 3:
            self.backbone.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)

    def load_imagenet(self, file: Path | None = None) -> None:
        """Give all layers but the last torchvision's ImageNet weights, with which the paper's classifier starts.

        A first layer of one channel gets the sum over red, green and blue: the answer to a grey picture stays the same.

        Args:
            file: resnet50-0676ba61.pth or its like; by default torchvision fetches it.

        Raises:
            InputError: the weights cannot be fetched or read, or are another network's.
        """
        try:
            theirs = torch.load(file, map_location="cpu", weights_only=True) if file else IMAGENET.get_state_dict()
            body = {name: value for name, value in theirs.items() if not name.startswith("fc.")}
            if self.backbone.conv1.in_channels == 1:
                body["conv1.weight"] = body["conv1.weight"].sum(dim=1, keepdim=True)
            missing = self.backbone.load_state_dict(body, strict=False).missing_keys
        except (OSError, RuntimeError, KeyError, AttributeError, pickle.UnpicklingError) as error:
            where = file or "torchvision's server"
            name = IMAGENET.url.rpartition("/")[2]
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"ResNet-50's ImageNet weights cannot be had from {where} ({why}); download {name} elsewhere and name the file "
                "with --imagenet."
            ) from None
        if set(missing) != {"fc.weight", "fc.bias"}:
            raise InputError(f"{file} lacks {len(missing) - 2} of the weights of a ResNet-50; give torchvision's file.")

    def feature_maps(self, image: Tensor) -> list[Tensor]:
        """Maps of the last three layers, at strides 8, 16 and 32, with 512, 1024 and 2048 channels."""
        body = self.backbone
        features = body.layer1(body.maxpool(body.relu(body.bn1(body.conv1(image)))))
        maps = []
        for layer in (body.layer2, body.layer3, body.layer4):
            features = layer(features)
            maps.append(features)
        return maps

    def classify(self, maps: list[Tensor]) -> Tensor:
        """Logits (B, 1) or (B, classes) from the maps of `feature_maps`."""
        return self.backbone.fc(self.backbone.avgpool(maps[-1]).flatten(1))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1) or (B, classes) of a normalised image (B, C, H, W)."""
        return self.classify(self.feature_maps(image))


class ExplainedClassifier(nn.Module):
    """Stage 1 with its Grad-CAM and the statistics of a middle layer from the same forward pass.

    Behind the last layer stand only a global average and one linear unit, so the gradient of the logit with respect to
    channel k of the last map is w_k / (H W) everywhere: Grad-CAM (Selvaraju et al., ICCV 2017, eq. 1 and 2) is
    ReLU(sum_k w_k A_k) / (H W), a 1x1 convolution, and needs no backward pass and no hooks.
    """

    def __init__(self, classifier: ResNet50Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, K), maps (B, h, w) >= 0 at stride 32, (B, K, h, w) for several classes, and texture (B, 1024) >= 0.

        Texture is the mean and standard deviation of each map at stride 8: the last layer keeps what tells tumours from none
        and has forgotten what tells a slice from a photograph.
        """
        maps = self.classifier.feature_maps(image)
        last = maps[-1]
        weight = self.classifier.backbone.fc.weight[:, :, None, None]
        cam = torch.relu(nn.functional.conv2d(last, weight))
        texture = torch.cat((maps[0].mean(dim=(2, 3)), maps[0].std(dim=(2, 3))), dim=1)
        cam = cam[:, 0] if len(weight) == 1 else cam
        return self.classifier.classify(maps), cam / (last.shape[-2] * last.shape[-1]), texture


class AuxiliaryMaskHeads(nn.Module):
    """A classifier with a 1x1 convolution on each of its last three layers that must say where the tumour is.

    From scratch, one label per slice is a thin signal; the masks of the training slices say which cells of each map hold
    tumour. The extra heads are dropped after training.
    """

    def __init__(self, classifier: ResNet50Classifier) -> None:
        super().__init__()
        self.network = classifier
        self.heads = nn.ModuleList(nn.Conv2d(channels, 1, 1) for channels in (512, 1024, 2048))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, 1) and cell logits [(B, 1, H/8, W/8), (B, 1, H/16, W/16), (B, 1, H/32, W/32)]."""
        maps = self.network.feature_maps(image)
        return self.network.classify(maps), [head(features) for head, features in zip(self.heads, maps, strict=True)]
