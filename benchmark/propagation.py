"""One batch through a model, layer by layer in execution order, leaving the model as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.layers import Layer, describe

Adjust = Callable[[Layer, nn.Module, Callable[[], torch.Tensor]], None]


@contextlib.contextmanager
def observed(model: nn.Module) -> Iterator[None]:
    """Put a model into the state in which methods look at it, and put it back afterwards.

    Batch norm normalises by the batch, as in training; dropout and stochastic depth are off.
    Modes, buffers (batch norm's running statistics among them), which parameters require a
    gradient, and torch's global random state are the same afterwards; no gradient is left.
    Attention is computed by products of matrices, which can be differentiated twice.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    frozen = [each for each in model.parameters() if not each.requires_grad]
    devices = {each.device for each in model.parameters() if each.device.type == "cuda"}
    try:
        model.eval().requires_grad_(True)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.train()
        with torch.random.fork_rng(devices=list(devices)), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in frozen:
            parameter.requires_grad_(False)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def adjust_in_order(model: nn.Module, images: torch.Tensor, adjust: Adjust) -> None:
    """Call `adjust` on every Conv and Linear layer as one forward pass of `images` reaches it.

    `adjust(layer, module, output)` may change the layer's parameters; `output()` computes what
    the layer makes of its input with them as they are, and what follows gets that. A weight that
    several layers share is adjusted where it is used first. A layer whose weight the model applies
    without calling its module is never reached. To be called within `observed`.
    """
    layers = {id(weight): layer for layer, weight in describe(model)}

    def reached(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> Any:
        layer = layers.pop(id(module.weight), None)
        if layer is None:
            return None

        def recompute() -> torch.Tensor:
            return type(module).forward(module, *inputs)

        adjust(layer, module, recompute)
        return recompute()

    handles = [
        module.register_forward_hook(reached)
        for module in model.modules()
        if id(getattr(module, "weight", None)) in layers
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
