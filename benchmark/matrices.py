"""Parts of a weight that structured initializers fill, and the matrices they fill them with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.layers import Layer


def kernels(weight: torch.Tensor, layer: Layer) -> tuple[torch.Tensor, ...]:
    """Return views [out, in, *kernel], one for each independent linear map of the layer.

    A grouped convolution has one for each group; a linear weight has no kernel axes, and that of a
    transposed convolution is turned to [out, in, *kernel].
    """
    parts = weight.chunk(layer.groups)
    return tuple(part.transpose(0, 1) for part in parts) if layer.transposed else tuple(parts)


def turned(weight: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Return a layer's weight as [out, in / groups, *kernel], whichever way it is stored.

    That of a transposed convolution is stored as [in, out / groups, *kernel], group by group: what
    is turned, turned again, is as stored. Any other weight is returned as it is.
    """
    if not layer.transposed:
        return weight
    return weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)


def centre_tap(kernel: torch.Tensor) -> torch.Tensor:
    """Return the view [out, in] of a kernel's middle position, size // 2 on an even axis."""
    for size in kernel.shape[2:]:
        kernel = kernel.select(2, size // 2)
    return kernel


def haar(
    rows: int, columns: int, generator: torch.Generator, batch: tuple[int, ...] = ()
) -> torch.Tensor:
    """Return Haar-random matrices [*batch, rows, columns], orthonormal along the shorter side.

    The QR decomposition of a Gaussian matrix, made unique by a positive diagonal of R, without
    which its Q is not Haar. In float64 on the CPU.
    """
    import torch

    tall = (*batch, max(rows, columns), min(rows, columns))
    normal = torch.empty(tall, dtype=torch.float64).normal_(generator=generator)
    q, r = torch.linalg.qr(normal)
    q *= r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return q if rows >= columns else q.mT


def dct_matrix(rows: int, columns: int) -> torch.Tensor:
    """Return rows of the DCT-II, or their transpose, orthonormal along the shorter side.

    Row k of the matrix of order n holds cos(pi (2 j + 1) k / 2 n), scaled to norm 1. A rectangle
    takes frequencies from the whole band.
    """
    return _rows_of(_dct(max(rows, columns)), 1, rows, columns)


def hadamard_matrix(rows: int, columns: int) -> torch.Tensor:
    """Return rows of a Hadamard matrix, or their transpose, orthonormal along the shorter side.

    Where its order, max(rows, columns), is no power of two, it is the Kronecker product of the
    Hadamard matrix of the largest power of two in it and the DCT matrix of the odd factor.
    """
    import numpy as np
    from scipy.linalg import hadamard

    order = max(rows, columns)
    power = order & -order
    basis = np.kron(hadamard(power) / math.sqrt(power), _dct(order // power))
    return _rows_of(basis, power, rows, columns)


def _dct(order: int) -> np.ndarray:
    import numpy as np
    from scipy.fft import dct

    return np.asarray(dct(np.eye(order), axis=0, norm="ortho"))


def _rows_of(basis: np.ndarray, power: int, rows: int, columns: int) -> torch.Tensor:
    """Return the matrix [rows, columns] of as many rows of `basis` as its shorter side has.

    First those that tell all columns of the basis apart, so that a tall matrix has no two rows
    alike: `power` is the order of the basis' Hadamard factor. The others come at a stride near
    order / golden ratio, which spreads them over the band.
    """
    import torch

    order = len(basis)
    stride = max(1, round(order * (math.sqrt(5.0) - 1.0) / 2.0))
    while math.gcd(stride, order) != 1:
        stride += 1
    telling = [order // power << bit for bit in range(power.bit_length() - 1)]
    spread = [index * stride % order for index in range(order)]
    chosen = list(dict.fromkeys([*telling, 1 % order, *spread]))[: min(rows, columns)]
    matrix = torch.from_numpy(basis[sorted(chosen)])
    return matrix.T if rows > columns else matrix


def fill_matrix(
    weight: torch.Tensor, layer: Layer, make: Callable[[int, int], torch.Tensor]
) -> None:
    """Fill a weight with make(neurons, fan_in): a row for each output channel of all groups.

    So it is one matrix over all groups of a convolution, as in `torch.nn.init.orthogonal_`; the
    weight of a transposed convolution, which is stored by inputs, is filled by outputs as well.
    """
    rows = weight.numel() // layer.fan_in
    matrix = make(rows, layer.fan_in).reshape(rows, layer.inputs, *layer.shape[2:])
    weight.copy_(turned(matrix, layer))


def fill_mirrored(
    weight: torch.Tensor, layer: Layer, submatrix: Callable[[int, int], torch.Tensor]
) -> None:
    """Fill every kernel with [[M, -M], [-M, M]], M = submatrix(rows, columns) flattened.

    The stem mirrors its outputs alone, the head its inputs alone, and an odd axis is left whole.
    """
    import torch

    for kernel in kernels(weight, layer):
        outputs, inputs, *taps = kernel.shape
        pairs_out = outputs % 2 == 0 and layer.role != "head"
        pairs_in = inputs % 2 == 0 and layer.role != "stem"
        rows = outputs // 2 if pairs_out else outputs
        channels = inputs // 2 if pairs_in else inputs
        block = submatrix(rows, channels * math.prod(taps)).reshape(rows, channels, *taps)
        if pairs_in:
            block = torch.cat([block, -block], dim=1)
        if pairs_out:
            block = torch.cat([block, -block], dim=0)
        kernel.copy_(block)
