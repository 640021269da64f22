"""Fixed-point initialisation for tanh: a repeated identity with a little noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import centre_tap, kernels
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "tanh_fixed_point",
    summary="each output copies one input, plus noise of standard deviation 0.085 / sqrt(fan_in)",
    paper="arXiv:2410.02242",
)
def tanh_fixed_point(
    weight: torch.Tensor, layer: Layer, generator: torch.Generator, noise: float = 0.085
) -> None:
    """Set W = D + Z with D[i, i mod in] = 1 and Z from N(0, noise^2 / fan_in).

    D repeats the identity where there are more outputs than inputs and drops inputs where there are
    fewer. The paper is on fully connected tanh networks; in a convolution D is the centre tap and Z
    the whole kernel, group by group. Lee, Choi and Kim 2025, section 3.2; their code takes the
    fan-out for the noise, the paper the fan-in.
    """
    import torch

    weight.normal_(0.0, noise / math.sqrt(layer.fan_in), generator=generator)
    for kernel in kernels(weight, layer):
        tap = centre_tap(kernel)
        outputs = torch.arange(len(tap))
        tap[outputs, outputs % tap.shape[1]] += 1.0
