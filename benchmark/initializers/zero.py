"""ZerO initialisation: zeros and ones up to a factor, from identities and Hadamard matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.matrices import centre_tap, kernels
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "zero",
    summary="ZerO: identity, Hadamard where a layer widens, zero where a residual branch ends",
    paper="arXiv:2110.12661",
    deterministic=True,
)
def zero(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    hadamard_gain: float = 1.0,
    zero_residual: bool = True,
) -> None:
    """Fill the centre tap with a partial identity or, where out > in, with Hadamard columns.

    The Hadamard part is c H_m[:out, :in] with 2^m the power of two at or above out. c = 2^(-m/2),
    which is the authors' code and orthonormal; their algorithm 1 prints 2^(-(m-1)/2), which is
    `hadamard_gain=1.4142135623730951`. Where in is not a power of two columns are truncated, and
    where out >= 2 in rows repeat. Groups are filled one by one, an even kernel at tap size // 2.
    `zero_residual` sets the layer that ends a residual branch to zero, the usual choice, which the
    algorithms leave open. Zhao, Schaefer and Anandkumar 2022, algorithms 1 and 2.
    """
    import torch
    from scipy.linalg import hadamard

    weight.zero_()
    if zero_residual and layer.role == "residual_end":
        return
    for kernel in kernels(weight, layer):
        tap = centre_tap(kernel)
        outputs, inputs = tap.shape
        if outputs <= inputs:
            tap.fill_diagonal_(1.0)
        else:
            order = 1 << (outputs - 1).bit_length()
            columns = torch.from_numpy(hadamard(order)[:outputs, :inputs])
            tap.copy_(columns * (hadamard_gain / order**0.5))
