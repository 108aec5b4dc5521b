"""A trained network's graph rewritten for inference: batch norms folded, convolutions packed together with what follows.

oneDNN multiplies fastest in a layout of its own. Left alone, it brings the weights into that layout on every call, which
for ResNet-50 costs a quarter of the time; here they are brought there once, and the additions and activations behind a
convolution are done while its results are still in the registers.
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

ADDITIONS = (operator.add, operator.iadd, torch.add)
RELUS = (torch.relu, nn.functional.relu)


class PackedConv2d(nn.Module):
    """A convolution with its weights in oneDNN's layout, and optionally an addition and an activation in the same pass.

    It calls the operators that torch's own compiler calls, without the compiler; they are not public, so torch is pinned
    and a test holds every network to its plain self.

    Args:
        convolution: zero-padded, on the CPU, in eval mode.
        input_shape: (B, C, H, W) it will mostly see; other shapes work too.
    """

    def __init__(self, convolution: nn.Conv2d, input_shape: torch.Size) -> None:
        super().__init__()
        self.geometry = (
            list(convolution.padding),
            list(convolution.stride),
            list(convolution.dilation),
            convolution.groups,
        )
        weight = convolution.weight.detach()
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self.geometry, list(input_shape))
        self.bias = None if convolution.bias is None else convolution.bias.detach()
        self.dtype = weight.dtype
        self.activation: tuple[str, list[float]] | None = None

    def forward(self, image: Tensor, other: Tensor | None = None) -> Tensor:
        """Convolution of `image`, plus `other` where given, through an activation where one was fused.

        `image` is brought into the number format of the weights, `other` must have it.
        """
        image = image.to(self.dtype)
        call = torch.ops.mkldnn._convolution_pointwise
        arguments = (self.weight, self.bias, *self.geometry)
        if other is None:
            name, limits = self.activation or ("none", [])
            return call(image, *arguments, name, limits, "")  # type: ignore[no-any-return]
        name_or_none, limits = self.activation or (None, [])
        return call.binary(image, other, *arguments, "add", 1.0, name_or_none, limits, None)  # type: ignore[no-any-return]


def can_pack(device: torch.device) -> bool:
    """Whether this build and device have oneDNN's convolutions."""
    return device.type == "cpu" and torch.backends.mkldnn.is_available()


def fold_batch_norms(model: nn.Module) -> fx.GraphModule:
    """Fold every batch norm that directly follows a convolution into it. `model` must be in eval mode and is consumed."""
    graph = fx.symbolic_trace(model)
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        convolution = modules.get(source.target) if source.op == "call_module" else None
        if not isinstance(convolution, nn.Conv2d) or len(source.users) > 1:
            continue
        norm = modules[node.target]
        assert norm.running_mean is not None and norm.running_var is not None
        convolution.weight, convolution.bias = fuse_conv_bn_weights(  # in place: fuse_conv_bn_eval would copy first
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def pack_convolutions(
    graph: fx.GraphModule, example: Tensor, dtype: torch.dtype = torch.float32, full_precision: tuple[str, ...] = ()
) -> fx.GraphModule:
    """Replace the convolutions of `graph` by packed ones, in place, and fuse the additions and activations behind them.

    Args:
        graph: from `fold_batch_norms`, on the CPU, in float32.
        example: an input (B, 3, H, W) of the size it will run at.
        dtype: the number format it will run in.
        full_precision: names of modules that stay in float32.
    """
    _fold_paddings(graph)
    shapes = Shapes(graph)
    shapes.run(example)
    _set_dtype(graph, dtype, full_precision)
    modules = dict(graph.named_modules())
    calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    for node in list(graph.graph.nodes):
        convolution = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(convolution, nn.Conv2d) or convolution.padding_mode != "zeros" or calls[node.target] > 1:
            continue
        packed = PackedConv2d(convolution, shapes.of[node.args[0]])
        convolution.to("meta")  # or its weights would stay with the traced model until the next garbage collection
        _set_module(graph, node.target, packed)
        node = _fuse_addition(graph, node, shapes.of)
        _fuse_activation(graph, node, packed, modules)
    graph.graph.lint()
    graph.recompile()
    return graph


def _set_dtype(graph: fx.GraphModule, dtype: torch.dtype, full_precision: tuple[str, ...]) -> None:
    """Bring all modules of `graph` into `dtype`, in place, but those under the names `full_precision`."""
    kept = tuple(f"{name}." for name in full_precision)
    for name, module in graph.named_modules():
        if not any(module.children()) and not name.startswith(kept):
            module.to(dtype)


def _fold_paddings(graph: fx.GraphModule) -> None:
    """Let convolutions do the zero padding before them, which otherwise copies the whole map, in place.

    oneDNN's operator pads as much before as behind. Where more is wanted behind, the kernel grows by zeros in front.
    """
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        padding = modules.get(node.target) if node.op == "call_module" else None
        user = _only_user(node)
        convolution = modules.get(str(user.target)) if user is not None and user.op == "call_module" else None
        if not isinstance(padding, nn.ZeroPad2d) or not isinstance(convolution, nn.Conv2d):
            continue
        before, behind, above, below = padding.padding
        grow = behind - before
        if (before, behind) != (above, below) or grow < 0 or convolution.padding != (0, 0) or convolution.dilation != (1, 1):
            continue
        convolution.weight = nn.Parameter(nn.functional.pad(convolution.weight.detach(), (grow, 0, grow, 0)))
        convolution.kernel_size = (convolution.weight.shape[2], convolution.weight.shape[3])
        convolution.padding = (behind, behind)
        node.replace_all_uses_with(node.args[0])
        graph.graph.erase_node(node)
    graph.recompile()


class Shapes(fx.Interpreter):
    """Runs the graph without the arithmetic of its convolutions and remembers the shape of every tensor.

    torch's own tensors without values (device "meta") would import its compiler, which takes a second.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.of: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.of[n] = result.shape
        return result

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A convolution's output with whatever was in that memory, any other module's as it is."""
        module = self.submodules[target]
        if not isinstance(module, nn.Conv2d) or module.padding_mode != "zeros":
            return super().call_module(target, args, kwargs)
        (image,) = args
        assert not isinstance(module.padding, str)  # "same" is not packed either
        taps = [gap * (kernel - 1) + 1 for gap, kernel in zip(module.dilation, module.kernel_size, strict=True)]
        ends = zip(image.shape[-2:], module.padding, taps, module.stride, strict=True)
        height, width = ((side + 2 * padding - tap) // stride + 1 for side, padding, tap, stride in ends)
        return image.new_empty((len(image), module.out_channels, height, width))


def _fuse_addition(graph: fx.GraphModule, node: fx.Node, shapes: dict[fx.Node, torch.Size]) -> fx.Node:
    """Let the convolution at `node` do the addition that is its only user; the node that now stands for both."""
    addition = _only_user(node)
    if addition is None or addition.op != "call_function" or addition.target not in ADDITIONS or addition.kwargs:
        return node
    others = [argument for argument in addition.args if argument is not node]
    if len(others) != 1 or not isinstance(others[0], fx.Node) or shapes.get(others[0]) != shapes[addition]:
        return node
    with graph.graph.inserting_before(addition):
        both = graph.graph.call_module(str(node.target), (node.args[0], others[0]))
    addition.replace_all_uses_with(both)
    graph.graph.erase_node(addition)
    graph.graph.erase_node(node)
    shapes[both] = shapes[addition]
    return both


def _fuse_activation(graph: fx.GraphModule, node: fx.Node, packed: PackedConv2d, modules: dict[str, nn.Module]) -> None:
    """Let the convolution at `node` do the ReLU or ReLU6 that is its only user."""
    user = _only_user(node)
    if user is None:
        return
    module = modules.get(str(user.target)) if user.op == "call_module" else None
    if isinstance(module, nn.ReLU6):
        packed.activation = ("hardtanh", [module.min_val, module.max_val])
    elif isinstance(module, nn.ReLU) or (user.op == "call_function" and user.target in RELUS):
        packed.activation = ("relu", [])
    else:
        return
    user.replace_all_uses_with(node)
    graph.graph.erase_node(user)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _set_module(graph: fx.GraphModule, target: Any, module: nn.Module) -> None:
    parent, _, leaf = str(target).rpartition(".")
    setattr(graph.get_submodule(parent), leaf, module)
