"""T-Fixup: a transformer without layer norm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer


@initializer(
    "t_fixup",
    summary="no norms; Xavier uniform, values, outputs and MLPs scaled by 0.67 N^-1/4",
    paper="https://proceedings.mlr.press/v119/huang20f.html",
    level="model",
    touches=("scales",),
    changes_architecture=True,
)
def t_fixup(model: nn.Module, generator: torch.Generator) -> None:
    """Take every norm out and scale the blocks of an encoder by 0.67 N^(-1/4).

    N is the number of attention branches. All Conv and Linear weights are Xavier uniform; those of
    values, output projections and MLPs are multiplied by the factor. The paper's rule for
    embeddings - N(0, 1/d), scaled by (9N)^(-1/4) - is for tables of tokens, which a network for
    images has none of: position embeddings and class tokens stay as built. Layer scales start at
    1. Raises UsageError for a model that is no transformer. Huang et al. 2020, section 3.2.
    """
    from benchmark.drawing import draw
    from benchmark.layers import describe
    from benchmark.transformers import transformer
    from benchmark.unnormalised import take_norms_out

    found = transformer(model, "t_fixup")
    take_norms_out(model, "t_fixup")
    factor = 0.67 * found.depth**-0.25
    blocks = {layer.name for layer, _ in found.layers}

    def fill(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
        scaled = layer.name in blocks and not found.is_query_or_key(layer)
        bound = math.sqrt(6 / (layer.fan_in + layer.fan_out)) * (factor if scaled else 1.0)
        weight.uniform_(-bound, bound, generator=generator)

    draw(describe(model), fill, generator)
