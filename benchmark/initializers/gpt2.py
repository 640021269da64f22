"""GPT-2's initialisation: small normals, smaller at the ends of residual branches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer


@initializer(
    "gpt2",
    summary="N(0, 0.02^2), divided by the root of the number of residual branches at their ends",
    paper="https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf",
    level="model",
    touches=("biases",),
)
def gpt2(model: nn.Module, generator: torch.Generator, std: float = 0.02) -> None:
    """Draw weights from N(0, std^2), those that end one of B branches from N(0, std^2 / B).

    B is the number of residual branches, twice the number of blocks in a transformer: the paper
    (section 2.3) scales "the weights of residual layers" by 1 / sqrt(N), its implementations read
    N as two for each block. Biases of these layers are 0; embeddings and norms stay as they are.
    Raises UsageError for a model without residual branches. Radford et al. 2019.
    """
    from benchmark.drawing import draw, zero_biases
    from benchmark.layers import describe
    from benchmark.residuals import residual_branches

    branches = residual_branches(model)
    if not branches:
        raise UsageError(f"gpt2: {type(model).__name__} has no residual branches")
    ends = {name for branch in branches for name in branch.ends}

    def fill(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
        share = math.sqrt(len(branches)) if layer.name in ends else 1.0
        weight.normal_(0.0, std / share, generator=generator)

    layers = describe(model)
    draw(layers, fill, generator)
    zero_biases(model, (layer for layer, _ in layers))
