"""Xavier (Glorot) initialisation from a normal distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "xavier_normal",
    summary="N(0, 2 gain^2 / (fan_in + fan_out)), Glorot's variance",
    paper="https://proceedings.mlr.press/v9/glorot10a.html",
)
def xavier_normal(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    gain: Annotated[float, Ge(0)] = 1.0,
) -> None:
    """Draw every weight from N(0, 2 gain^2 / (fan_in + fan_out)).

    The fans are those of the layer: of one group, and of q, k or v alone where they are packed.
    Glorot and Bengio 2010, equations 12 and 16.
    """
    weight.normal_(0.0, gain / math.sqrt(layer.fan("fan_avg")), generator=generator)
