"""What PyTorch's own constructors give a Conv or Linear layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "torch",
    summary="U(-b, b) with b = 1 / sqrt(fan_in), of weights and of biases: PyTorch's default",
    paper="https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html",
    level="model",
    touches=("biases",),
)
def torch_default(model: nn.Module, generator: torch.Generator) -> None:
    """Draw weights and biases of every layer from U(-b, b), b = 1 / sqrt(fan_in).

    The formula behind `kaiming_uniform_(a=sqrt(5))` in `nn.Linear` and the convolutions: weights
    of variance 1 / (3 fan_in), biases that are not zero (pytorch#57109). A transposed convolution
    has b = 1 / sqrt(out / groups * kernel) in PyTorch, which reads its weight the other way round,
    and so here.
    """
    from benchmark.layers import describe
    from benchmark.sampling import assign, empty
    from benchmark.seeds import substream

    for layer, weight in describe(model):
        stream = substream(generator, layer.name)
        bound = 1.0 / math.sqrt(math.prod(layer.shape[1:]))
        assign(weight, empty(weight).uniform_(-bound, bound, generator=stream))
        if layer.bias:
            bias = model.get_parameter(layer.bias)
            assign(bias, empty(bias).uniform_(-bound, bound, generator=stream))
