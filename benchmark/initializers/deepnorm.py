"""DeepNorm's initialisation of a transformer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer


@initializer(
    "deepnorm",
    summary="Xavier normal, values, attention outputs and MLPs with gain (8N)^-1/4; weights only",
    paper="arXiv:2203.00555",
    level="model",
)
def deepnorm(model: nn.Module, generator: torch.Generator) -> None:
    """Draw a transformer's layers from Xavier normal with gain beta = (8N)^(-1/4) or 1.

    N is the number of attention branches. Values, output projections and both layers of the MLPs
    have gain beta, queries and keys 1: the values of an encoder-only (or decoder-only) model.
    Layers outside of the blocks stay as built. This is the half of DeepNorm that is an
    initialisation: the other, post-norm with the skip multiplied by alpha = (2N)^(1/4), is another
    architecture and is not made. Raises UsageError for a model that is no transformer.
    Wang et al. 2022, figure 2; fans of packed q, k and v are those of each.
    """
    from benchmark.drawing import draw
    from benchmark.transformers import transformer

    found = transformer(model, "deepnorm")
    beta = (8 * found.depth) ** -0.25

    def fill(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
        gain = 1.0 if found.is_query_or_key(layer) else beta
        std = gain * math.sqrt(2 / (layer.fan_in + layer.fan_out))
        weight.normal_(0.0, std, generator=generator)

    draw(found.layers, fill, generator)
