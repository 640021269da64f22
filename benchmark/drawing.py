"""Filling the weights of layers on the CPU, from a stream of random numbers for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from benchmark.layers import Layer
from benchmark.seeds import substream

_NARROW = (torch.float16, torch.bfloat16)

Fill = Callable[[torch.Tensor, Layer, torch.Generator], object]


def fill_matrices(
    layer: Layer, parameter: nn.Parameter, fill: Fill, generator: torch.Generator
) -> None:
    """Fill a layer's weight with `fill(weight, layer, generator)`, a packed one part by part.

    `fill` gets a contiguous float32 tensor on the CPU with the values as they are, so that the same
    bytes come out on every device and in every memory format.
    """
    parts = layer.packing.unpack(parameter.detach().to("cpu", torch.float32))
    for part, weight in zip(layer.split(), parts, strict=True):
        fill(weight, part, generator)
    with torch.no_grad():
        parameter.copy_(layer.packing.pack(parts))


def draw(
    layers: Iterable[tuple[Layer, nn.Parameter]], fill: Fill, generator: torch.Generator
) -> None:
    """Fill the weights of `layers` with a tensor-level method, for a model-level one.

    Each layer's generator is derived from the seed of the method's `generator` and the layer's
    name, so no layer's draw shifts another's.
    """
    for layer, parameter in layers:
        fill_matrices(layer, parameter, fill, substream(generator, layer.name))


def zero_biases(model: nn.Module, layers: Iterable[Layer]) -> None:
    """Set the biases of `layers` to 0, where they have one."""
    with torch.no_grad():
        for layer in layers:
            if layer.bias is not None:
                model.get_parameter(layer.bias).zero_()


@contextlib.contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Let a method see a model of a narrower dtype in float32, and round what it leaves."""
    tensors = [*model.parameters(), *model.buffers()]
    narrow = [(each, each.dtype) for each in tensors if each.dtype in _NARROW]
    for tensor, _ in narrow:
        tensor.data = tensor.data.float()
    try:
        yield
    finally:
        for tensor, dtype in narrow:
            tensor.data = tensor.data.to(dtype)
        known = {id(tensor) for tensor in tensors}
        for added in [each for each in model.parameters() if id(each) not in known]:
            added.data = added.data.to(narrow[0][1] if narrow else added.dtype)
