"""One batch through a model, layer by layer in execution order, leaving the model as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from benchmark.layers import Layer, describe

Weighted = _ConvNd | nn.Linear
Adjust = Callable[[Layer, Weighted, Callable[[], torch.Tensor]], object]


@contextlib.contextmanager
def observed(model: nn.Module, differentiated: int = 1) -> Iterator[None]:
    """Put a model into the state in which methods look at it, and put it back afterwards.

    Batch norm normalises by the batch, as in training; dropout and stochastic depth are off.
    Modes, buffers (batch norm's running statistics among them), which parameters require a
    gradient, and torch's global random state are the same afterwards; no gradient is left.
    Attention is computed by products of matrices, since fused kernels are differentiated but once,
    and so is batch norm by elementary operations if it is to be `differentiated` three times.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    frozen = [each for each in model.parameters() if not each.requires_grad]
    devices = {each.device for each in model.parameters() if each.device.type == "cuda"}
    hooks: list[RemovableHandle] = []
    try:
        model.eval().requires_grad_(True)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.train()
                if differentiated > 2:
                    hooks.append(module.register_forward_hook(_normalised_by_hand))
            elif hasattr(module, "attention_bias_cache"):
                # Only in training does timm compute its biases anew at every pass, so that they
                # can be differentiated again and none is left behind. Dropout has its own mode.
                module.training = True
        with torch.random.fork_rng(devices=list(devices)), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for hook in hooks:
            hook.remove()
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

    def reached(module: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> Any:
        layer = layers.pop(id(module.weight), None)
        if layer is None:
            return None

        def recompute() -> torch.Tensor:
            return module.forward(*inputs)

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


def _normalised_by_hand(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> torch.Tensor:
    """Compute batch norm anew from operations that can be differentiated any number of times."""
    norm, values = cast(_BatchNorm, module), inputs[0]
    axes = [axis for axis in range(values.ndim) if axis != 1]
    variance, mean = torch.var_mean(values, axes, correction=0, keepdim=True)
    result = (values - mean) * torch.rsqrt(variance + norm.eps)
    if norm.affine:
        each = [-1 if axis == 1 else 1 for axis in range(values.ndim)]
        result = result * norm.weight.view(each) + norm.bias.view(each)
    fused: Any = module
    return fused.act(fused.drop(result)) if hasattr(module, "act") else result
