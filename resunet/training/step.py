"""One optimiser step: forward, backward, update; recorded as a CUDA graph where there is CUDA."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn, optim

from resunet.training.sampling import Batch

WARM_UP = 3  # steps before a graph is recorded, as PyTorch's notes on CUDA graphs ask for


class Step:
    """Calls `loss_of` on a batch, and moves the weights along the gradient of what it returns.

    A small network's step is bound by launching its kernels one by one; a graph launches them all at once. Tensors of a graph
    lie at fixed addresses: a batch is copied into the first one of its size.

    Args:
        model: whose parameters the optimiser moves.
        optimiser: on a GPU with `capturable` and a tensor as learning rate.
        loss_of: loss of a batch on the model's device, without a transfer between device and processor.
        clip_norm: largest norm of the gradient.
        graphs: whether to record graphs.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: optim.Optimizer,
        loss_of: Callable[[Batch], Tensor],
        clip_norm: float,
        graphs: bool,
    ) -> None:
        self._model = model
        self._optimiser = optimiser
        self._loss_of = loss_of
        self._clip_norm = clip_norm
        self._graphs = graphs
        self._recorded: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Batch, Tensor]] = {}

    def __call__(self, batch: Batch) -> Tensor:
        """Make one step; returns the loss before it, on the device, to be read before the next call."""
        if not self._graphs:
            return self._plain(batch)
        if batch.images.shape not in self._recorded:
            self._recorded[batch.images.shape] = self._record(batch)
        graph, inputs, loss = self._recorded[batch.images.shape]
        for place, tensor in zip(inputs, batch, strict=True):
            place.copy_(tensor)
        graph.replay()
        return loss

    def _plain(self, batch: Batch) -> Tensor:
        self._optimiser.zero_grad(set_to_none=not self._graphs)
        loss = self._loss_of(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
        self._optimiser.step()
        return loss.detach()

    def _record(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, Tensor]:
        """A graph for batches of this size. Warming up moves weights, statistics and moments: all are put back."""
        inputs = Batch(*(tensor.clone() for tensor in batch))
        before = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        moments = {
            parameter: {name: value.clone() for name, value in state.items()}
            for parameter, state in self._optimiser.state.items()
        }
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._plain(inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self._plain(inputs)
        with torch.no_grad():
            for name, tensor in self._model.state_dict().items():
                tensor.copy_(before[name])
            for parameter, state in self._optimiser.state.items():
                for name, value in state.items():
                    value.copy_(moments[parameter][name]) if parameter in moments else value.zero_()
        return graph, inputs, loss
