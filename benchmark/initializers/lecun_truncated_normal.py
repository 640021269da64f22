"""LeCun initialisation as JAX and timm have it: truncated at two standard deviations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "lecun_truncated_normal",
    summary="normal cut at two sigma, of variance 1 / fan_in behind the cut",
    paper="https://docs.jax.dev/en/latest/_autosummary/jax.nn.initializers.lecun_normal.html",
)
def lecun_truncated_normal(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
    """Draw every weight from a normal cut at two sigma, of variance 1 / fan_in behind the cut.

    `lecun_normal` of JAX, and `lecun_normal_` of timm.
    """
    from benchmark.sampling import TRUNCATED_STD, truncated_normal_

    truncated_normal_(weight, 1.0 / math.sqrt(layer.fan_in) / TRUNCATED_STD, 2.0, generator)
