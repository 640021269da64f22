"""Xavier (Glorot) initialisation from a uniform distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "xavier_uniform",
    summary="U(-b, b) with b = gain sqrt(6 / (fan_in + fan_out)), Glorot's variance",
    paper="https://proceedings.mlr.press/v9/glorot10a.html",
)
def xavier_uniform(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    gain: Annotated[float, Ge(0)] = 1.0,
) -> None:
    """Draw every weight from U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)).

    The fans are those of the layer: of one group, and of q, k or v alone where they are packed.
    Glorot and Bengio 2010, equations 12 and 16.
    """
    bound = gain * math.sqrt(3.0 / layer.fan("fan_avg"))
    weight.uniform_(-bound, bound, generator=generator)
