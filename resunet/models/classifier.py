"""Stage 1: ResNet-50 (He, Zhang, Ren, Sun, CVPR 2016) with one logit, and the mask help it may be trained with."""

from __future__ import annotations

from torch import Tensor, nn

from resunet.models.pretrained import Pretrained
from resunet.models.resnet import ResNet50


class ResNet50Classifier(Pretrained, nn.Module):
    """ResNet-50 with a single output: the logit of "this slice shows a tumour".

    Args:
        imagenet: start from torchvision's ImageNet weights (fetched over the network on first use).
    """

    def __init__(self, imagenet: bool = False) -> None:
        super().__init__()
        self.backbone = ResNet50(outputs=1)
        if imagenet:
            from torchvision.models import ResNet50_Weights

            pretrained = ResNet50_Weights.DEFAULT.get_state_dict(progress=True, check_hash=True)
            body = {name: value for name, value in pretrained.items() if not name.startswith("fc.")}
            self.backbone.load_state_dict(body | {f"fc.{k}": v for k, v in self.backbone.fc.state_dict().items()})

    def feature_maps(self, image: Tensor) -> list[Tensor]:
        """Maps of the last three stages, at strides 8, 16 and 32, with 512, 1024 and 2048 channels."""
        return self.backbone.feature_maps(image)

    def classify(self, maps: list[Tensor]) -> Tensor:
        """Logits (B, 1) from the maps of `feature_maps`."""
        return self.backbone.classify(maps)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1) of a normalised image (B, 3, H, W)."""
        return self.backbone(image)  # type: ignore[no-any-return]


class MaskHelp(nn.Module):
    """A classifier with a 1x1 convolution on each of its last three stages that must say where the tumour is.

    From scratch, a label a slice is a thin signal; the masks of the training slices say which cells of each map hold
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
