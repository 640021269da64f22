"""SmallInit: Xavier as if every layer were the widening one of a transformer's MLP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "small_init",
    summary="N(0, 2 / (5 fan_in)): Xavier with a fan-out of four times the fan-in",
    paper="arXiv:1910.05895",
)
def small_init(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
    """Draw every weight from N(0, 2 / (d + 4 d)), d the layer's fan_in.

    Published for pre-norm transformers, where d is the width of the model in every layer; here
    every layer takes its own fan_in. Nguyen and Salazar 2019.
    """
    weight.normal_(0.0, math.sqrt(2.0 / (5.0 * layer.fan_in)), generator=generator)
