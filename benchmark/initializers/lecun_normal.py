"""LeCun initialisation from a normal distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "lecun_normal",
    summary="N(0, 1 / fan_in)",
    paper="https://doi.org/10.1007/3-540-49430-8_2",
)
def lecun_normal(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
    """Draw every weight from N(0, 1 / fan_in). LeCun, Bottou, Orr and Mueller 1998, section 4.6."""
    weight.normal_(0.0, 1.0 / math.sqrt(layer.fan_in), generator=generator)
