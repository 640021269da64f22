"""timm's preset after JAX's vision transformers: Xavier, LeCun and a head of zeros."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "timm_jax",
    summary="Xavier uniform linear layers, truncated LeCun convolutions, a head of zeros",
    paper="https://github.com/huggingface/pytorch-image-models/blob/main/timm/layers/weight_init.py",
    level="model",
    touches=("biases",),
)
def timm_jax(model: nn.Module, generator: torch.Generator) -> None:
    """Fill every layer as `init_weight_jax` of timm does.

    Linear weights from U(-b, b), b = sqrt(6 / (in + out)), where a packed qkv counts as one matrix,
    as in timm; convolutions from a normal cut at two sigma, of variance 1 / fan_in; the head zero.
    Biases of layers that have mlp in their name from N(0, 1e-6^2), all others zero.
    """
    from benchmark.layers import describe
    from benchmark.sampling import TRUNCATED_STD, assign, empty, truncated_normal_
    from benchmark.seeds import substream

    for layer, weight in describe(model):
        stream = substream(generator, layer.name)
        values = empty(weight)
        if layer.role == "head":
            values.zero_()
        elif layer.kind == "linear":
            bound = math.sqrt(6.0 / sum(layer.shape))
            values.uniform_(-bound, bound, generator=stream)
        else:
            truncated_normal_(values, layer.fan_in**-0.5 / TRUNCATED_STD, 2.0, stream)
        assign(weight, values)
        if layer.bias:
            bias = model.get_parameter(layer.bias)
            small = layer.kind == "linear" and "mlp" in layer.name and layer.role != "head"
            assign(bias, empty(bias).normal_(0.0, 1e-6 if small else 0.0, generator=stream))
