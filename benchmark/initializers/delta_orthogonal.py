"""Delta-orthogonal initialisation: an orthogonal matrix on the middle of an empty kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.matrices import centre_tap, haar, kernels
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "delta_orthogonal",
    summary="kernels empty but for a Haar-orthogonal centre tap; linear layers orthogonal",
    paper="arXiv:1806.05393",
)
def delta_orthogonal(
    weight: torch.Tensor, layer: Layer, generator: torch.Generator, gain: float = 1.0
) -> None:
    """Set the centre tap of every kernel to `gain` times a Haar-random semi-orthogonal matrix.

    The convolution keeps norms (stride 1, circular padding, in <= out), which an orthogonal
    flattened kernel does not. Each group has its own matrix; where in > out its rows are
    orthonormal, and norms can only shrink. An even kernel has no centre: its tap size // 2 shifts
    the image by half a pixel. Xiao et al. 2018.
    """
    weight.zero_()
    for kernel in kernels(weight, layer):
        tap = centre_tap(kernel)
        tap.copy_(gain * haar(len(tap), tap.shape[1], generator))
