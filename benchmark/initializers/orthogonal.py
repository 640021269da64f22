"""Orthogonal initialisation: Haar-distributed rows or columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "orthogonal",
    summary="orthonormal rows (or columns, where there are more rows) of the [out, in] matrix",
    paper="arXiv:1312.6120",
)
def orthogonal(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    gain: Annotated[float, Ge(0)] = 1.0,
) -> None:
    """Fill the matrix [out, in] with a Haar-random semi-orthogonal matrix.

    A grouped convolution is one matrix over all its groups, as in `torch.nn.init.orthogonal_`. The
    QR decomposition is made unique by a positive diagonal of R, without which its Q is not Haar.
    Computed in float64 on the CPU, so that the float32 result is orthogonal to rounding. Saxe et
    al. 2014.
    """
    import torch

    matrix = weight.flatten(1)
    rows, columns = matrix.shape
    tall = (max(rows, columns), min(rows, columns))
    normal = torch.empty(tall, dtype=torch.float64).normal_(generator=generator)
    q, r = torch.linalg.qr(normal)
    q *= r.diagonal().sign()
    matrix.copy_(gain * (q if rows >= columns else q.T))
