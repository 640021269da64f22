"""Random search on a layer's strength variance, as the code of arXiv:2207.08148 has it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import turned
from benchmark.plugins import initializers
from benchmark.strength import strength_variance

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


def search(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    initializer: str,
    k: int,
    sign: float,
) -> None:
    """Fill a layer k times by `initializer`, keep the draw with the lowest score times `sign`."""
    method, arguments = initializers.resolve(initializer)
    best, lowest = weight.clone(), math.inf
    for _ in range(k):
        method.function(weight, layer, generator, **arguments)
        score = sign * strength_variance(turned(weight, layer).flatten(1).numpy()).score
        # A single weight has no variance (NaN): its first draw is kept.
        if score < lowest or lowest == math.inf:
            best, lowest = weight.clone(), score
    weight.copy_(best)
