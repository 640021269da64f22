"""Kaiming (He) initialisation from a normal distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "kaiming_normal",
    summary="N(0, gain^2 / fan), He's variance for ReLU",
    paper="arXiv:1502.01852",
)
def kaiming_normal(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in",
    gain: Annotated[float, Ge(0)] = math.sqrt(2.0),
) -> None:
    """Draw every weight from N(0, gain^2 / fan), with the fan that `mode` names.

    The fans are those of the layer, right for grouped convolutions; fan_avg is their mean. He et
    al. 2015, equations 10 and 14.
    """
    weight.normal_(0.0, gain / math.sqrt(layer.fan(mode)), generator=generator)
