"""Kaiming (He) initialisation from a uniform distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "kaiming_uniform",
    summary="U(-b, b) with b = gain sqrt(3 / fan), He's variance for ReLU",
    paper="arXiv:1502.01852",
)
def kaiming_uniform(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in",
    gain: Annotated[float, Ge(0)] = math.sqrt(2.0),
) -> None:
    """Draw every weight from U(-b, b), b = gain sqrt(3 / fan): variance gain^2 / fan.

    The fans are those of the layer, right for grouped convolutions; fan_avg is their mean. He et
    al. 2015, equations 10 and 14.
    """
    bound = gain * math.sqrt(3.0 / layer.fan(mode))
    weight.uniform_(-bound, bound, generator=generator)
