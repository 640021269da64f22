"""Kaiming (He) initialisation from a normal distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.errors import UsageError
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
    mode: str = "fan_in",
    gain: float = math.sqrt(2.0),
) -> None:
    """Draw every weight from N(0, gain^2 / fan), with the fan that `mode` names.

    The fans are those of the layer, right for grouped convolutions. Raises UsageError for a mode
    that is neither fan_in nor fan_out. He et al. 2015, equations 10 and 14.
    """
    fans = {"fan_in": layer.fan_in, "fan_out": layer.fan_out}
    if mode not in fans:
        raise UsageError(f"kaiming_normal(mode={mode}): write mode=fan_in or mode=fan_out")
    weight.normal_(0.0, gain / math.sqrt(fans[mode]), generator=generator)
