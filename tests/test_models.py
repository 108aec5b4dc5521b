import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from resunet.engine import Engine, ExplainedClassifier, fold_batch_norms
from resunet.errors import InputError
from resunet.models import CLASSIFICATION, MODELS, SEGMENTATION, build_model, count_gflop, count_parameters
from resunet.models.classifier import MaskHelp, ResNet50Classifier

CPU = torch.device("cpu")
PARAMETERS = {
    "resunet": 1_203_937,
    "unet": 1_964_097,
    "resunet_wide": 2_776_644,
    "resunet_deep": 6_804_932,
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
    with torch.no_grad():
        logits = lively(name)(20 * torch.randn(2, 3, *size))
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
    exact = Engine(model, 96, CPU, torch.float32)(image)[0]
    assert (exact - expected).abs().max() < 1e-4 * expected.abs().max()
    rounded = Engine(model, 96, CPU, torch.bfloat16)(image)[0]
    assert (rounded - expected).abs().max() < 0.05 * expected.abs().max()
    assert exact.dtype == rounded.dtype == torch.float32


def test_folding_leaves_no_batch_norm_behind_a_convolution():
    folded = fold_batch_norms(lively("resunet"))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


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
