"""A trained network made ready to run fast: fused and packed convolutions, channels last, bfloat16 where native."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resunet.fusion import can_pack, fold_batch_norms, pack_convolutions
from resunet.memory import return_freed_memory
from resunet.models.classifier import ResNet50Classifier


class ExplainedClassifier(nn.Module):
    """Stage 1 with its Grad-CAM from the same forward pass.

    Behind the last stage stand only a global average and one linear unit, so the gradient of the logit with respect to
    channel k of the last map is w_k / (H W) everywhere: Grad-CAM (Selvaraju et al., ICCV 2017, eq. 1 and 2) is
    ReLU(sum_k w_k A_k) / (H W), a 1x1 convolution, and needs no backward pass and no hooks.
    """

    def __init__(self, classifier: ResNet50Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, 1) and maps (B, h, w) >= 0 at stride 32."""
        last = self.classifier.feature_maps(image)[-1]
        weight = self.classifier.backbone.fc.weight[:, :, None, None]
        cam = torch.relu(nn.functional.conv2d(last, weight.to(last.dtype)))
        return self.classifier.classify([last]), cam[:, 0] / (last.shape[-2] * last.shape[-1])


class Engine:
    """Runs one network on batches (B, 3, S, S) float32 and returns float32 tensors.

    Not locked: whoever shares an engine between threads takes turns.

    Args:
        model: trained network; it is consumed, so that its float32 weights need not stay beside the packed ones.
        size: side of the inputs it will see.
        device: where to run.
        dtype: torch.bfloat16 or torch.float32.
    """

    def __init__(self, model: nn.Module, size: int, device: torch.device, dtype: torch.dtype) -> None:
        self.size, self.device, self.dtype = size, device, dtype
        full_precision = getattr(model, "FULL_PRECISION", ())  # what a network says it needs
        self._input_dtype = torch.float32 if can_pack(device) else dtype  # packed convolutions convert what they are given
        network = fold_batch_norms(model.eval())
        network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if can_pack(device):
            with torch.inference_mode():
                network = pack_convolutions(network, self._place(torch.zeros(1, 3, size, size)), dtype, full_precision)
        else:
            network = network.to(dtype)
        self._run = network
        return_freed_memory()

    def _place(self, images: Tensor) -> Tensor:
        return images.to(device=self.device, dtype=self._input_dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs, always as a tuple, on the CPU."""
        outputs = self._run(self._place(images))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.float().cpu() for output in outputs)
