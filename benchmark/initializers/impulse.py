"""Impulse initialisation: every depthwise filter starts as a random shift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.plugins import initializer
from benchmark.seeds import torch_generator

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "impulse",
    summary="depthwise filters have one random tap, others 0; all other layers as built",
    paper="arXiv:2404.01139",
    level="model",
)
def impulse(model: nn.Module, generator: torch.Generator) -> None:
    """Set every depthwise filter to 1 / sqrt(k) at one tap drawn uniformly, and 0 elsewhere.

    k is the length of the kernel's last axis, as in the authors' ConvMixer code; every other layer
    stays as the constructor drew it. The paper's version for ViTs fits query and key of each head
    to such a shift in 10,000 steps of Adam, and is not part of this. Raises UsageError for a model
    without a depthwise convolution of more than one tap. Zheng, Li and Lucey 2024.
    """
    import torch

    from benchmark.layers import describe

    found = [
        (layer, weight) for layer, weight in describe(model) if layer.depthwise and layer.fan_in > 1
    ]
    if not found:
        raise UsageError("impulse fills depthwise convolutions, and the model has none")
    for layer, weight in found:
        stream = torch_generator(generator.initial_seed(), layer.name)
        filters = torch.zeros(weight.shape).flatten(2).flatten(0, 1)
        taps = torch.randint(filters.shape[1], (len(filters), 1), generator=stream)
        filters.scatter_(1, taps, layer.shape[-1] ** -0.5)
        with torch.no_grad():
            weight.copy_(filters.reshape(weight.shape))
