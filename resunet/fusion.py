"""A trained network's graph rewritten for inference: batch norms folded, convolutions packed together with what follows.

oneDNN multiplies fastest in a layout of its own. Left alone, it brings the weights into that layout on every call, which
for ResNet-50 costs a quarter of the time; here they are brought there once, and the additions and ReLUs behind a
convolution are done while its results are still in the registers.
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

ADDITIONS = (operator.add, operator.iadd, torch.add)
RELUS = (torch.relu, nn.functional.relu)


class PackedConv2d(nn.Module):
    """A convolution with its weights in oneDNN's layout, and optionally an addition and a ReLU in the same pass.

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
        self.relu = False

    def forward(self, image: Tensor, other: Tensor | None = None) -> Tensor:
        """Convolution of `image`, plus `other` where given, through a ReLU where one was fused."""
        call = torch.ops.mkldnn._convolution_pointwise
        arguments, unary = (self.weight, self.bias, *self.geometry), "relu" if self.relu else "none"
        if other is None:
            return call(image, *arguments, unary, [], "")  # type: ignore[no-any-return]
        unary_or_none = unary if self.relu else None
        return call.binary(image, other, *arguments, "add", 1.0, unary_or_none, [], None)  # type: ignore[no-any-return]


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
        _set_module(graph, source.target, fuse_conv_bn_eval(convolution, modules[node.target]))
        modules[source.target] = graph.get_submodule(source.target)
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def pack_convolutions(graph: fx.GraphModule, example: Tensor) -> fx.GraphModule:
    """Replace the convolutions of `graph` by packed ones, in place, and fuse the additions and ReLUs behind them.

    Args:
        graph: from `fold_batch_norms`, on the CPU, in the number format it will run in.
        example: an input (B, 3, H, W) of the size it will run at.
    """
    shapes = _Shapes(graph)
    shapes.run(example)
    modules = dict(graph.named_modules())
    calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    for node in list(graph.graph.nodes):
        convolution = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(convolution, nn.Conv2d) or convolution.padding_mode != "zeros" or calls[node.target] > 1:
            continue
        packed = PackedConv2d(convolution, shapes.of[node.args[0]])
        _set_module(graph, node.target, packed)
        node = _fuse_addition(graph, node, shapes.of)
        _fuse_relu(graph, node, packed, modules)
    graph.graph.lint()
    graph.recompile()
    return graph


class _Shapes(fx.Interpreter):
    """Runs the graph and remembers the shape of every tensor in it."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.of: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.of[n] = result.shape
        return result


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


def _fuse_relu(graph: fx.GraphModule, node: fx.Node, packed: PackedConv2d, modules: dict[str, nn.Module]) -> None:
    """Let the convolution at `node` do the ReLU that is its only user."""
    relu = _only_user(node)
    if relu is None:
        return
    is_module = relu.op == "call_module" and isinstance(modules.get(str(relu.target)), nn.ReLU)
    if is_module or (relu.op == "call_function" and relu.target in RELUS):
        packed.relu = True
        relu.replace_all_uses_with(node)
        graph.graph.erase_node(relu)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _set_module(graph: fx.GraphModule, target: Any, module: nn.Module) -> None:
    parent, _, leaf = str(target).rpartition(".")
    setattr(graph.get_submodule(parent), leaf, module)
