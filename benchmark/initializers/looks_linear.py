"""Looks-linear initialisation: mirrored orthogonal blocks that undo the ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.matrices import fill_mirrored, haar
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "looks_linear",
    summary="[[M, -M], [-M, M]] with M orthogonal: a network of ReLUs starts as a linear map",
    paper="arXiv:1702.08591",
)
def looks_linear(
    weight: torch.Tensor, layer: Layer, generator: torch.Generator, gain: float = 1.0
) -> None:
    """Mirror a Haar-random semi-orthogonal M over both halves of the outputs and of the inputs.

    Behind a ReLU channels i and i + width / 2 hold the positive and the negative part of one
    number, [M, -M] reads their difference, and [M; -M] writes the next pair: layers of plain ReLU
    networks compose to the product of their M, isometric where these are square. GELU and SiLU do
    the same, since f(x) - f(-x) = x. The stem reads its input as it is, the head writes no pairs,
    an odd axis is not mirrored, and groups (so depthwise filters) are mirrored within themselves. A
    kernel's M is flattened as in `orthogonal`. Where no such pairs come in, as behind a norm, the
    layer has half the rank and no such property. Balduzzi et al. 2017, with free weights in the
    place of CReLU's tied ones.
    """
    fill_mirrored(weight, layer, lambda rows, columns: gain * haar(rows, columns, generator))
