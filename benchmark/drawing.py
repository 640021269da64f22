"""Drawing layers' weights in a model-level method: on the CPU, a stream for each layer's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from benchmark.layers import Layer
from benchmark.seeds import torch_generator

Fill = Callable[[torch.Tensor, Layer, torch.Generator], None]


def draw(
    layers: Iterable[tuple[Layer, nn.Parameter]], fill: Fill, generator: torch.Generator
) -> None:
    """Fill the weights of `layers` with `fill(weight, layer, generator)`, a tensor-level method.

    Each layer's generator is derived from the seed of the method's `generator` and the layer's
    name, so no layer's draw shifts another's. Drawn in float32 on the CPU, then moved.
    """
    for layer, parameter in layers:
        weight = torch.zeros(parameter.shape)
        fill(weight, layer, torch_generator(generator.initial_seed(), layer.name))
        with torch.no_grad():
            parameter.copy_(weight)


def zero_biases(model: nn.Module, layers: Iterable[Layer]) -> None:
    """Set the biases of `layers` to 0, where they have one."""
    with torch.no_grad():
        for layer in layers:
            bias = getattr(model.get_submodule(layer.name), "bias", None)
            if bias is not None:
                bias.zero_()
