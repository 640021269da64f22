"""Dirac initialisation: every layer passes its inputs through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.matrices import centre_tap, kernels
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "dirac",
    summary="identity: centre tap 1 from input channel i to output channel i, group by group",
    paper="arXiv:1706.00388",
    deterministic=True,
)
def dirac(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
    """Set W[i, i] = 1 at the centre tap for every i < min(out, in), all else to 0.

    As `torch.nn.init.dirac_` with the layer's groups and, for linear layers, `eye_`. Outputs beyond
    the number of inputs are zero rows, which nothing but other layers' randomness tells apart.
    Zagoruyko and Komodakis 2017.
    """
    weight.zero_()
    for kernel in kernels(weight, layer):
        centre_tap(kernel).fill_diagonal_(1.0)
