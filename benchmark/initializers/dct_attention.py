"""Discrete cosine initialisation of attention: query, key and value project onto cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from benchmark.errors import UsageError
from benchmark.matrices import dct_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "dct_attention",
    summary="query, key and value projections are the DCT matrix; all other layers as built",
    paper="arXiv:2405.13901",
    level="model",
    deterministic=True,
)
def dct_attention(
    model: nn.Module,
    generator: torch.Generator,
    projections: Literal["q", "k", "v", "qk", "qv", "kv", "qkv"] = "qkv",
) -> None:
    """Set the named matrices of every layer that packs them to the orthonormal DCT-II matrix.

    The other matrices and layers stay as the constructor drew them, as in the authors' code. Raises
    UsageError for a model without such a layer. Pan et al. 2024.
    """
    import torch

    from benchmark.layers import describe

    found = [(layer, weight) for layer, weight in describe(model) if layer.role == "qkv"]
    if not found:
        raise UsageError("dct_attention fills layers that pack q, k and v, and the model has none")
    for layer, weight in found:
        parts = layer.packing.unpack(weight.detach())
        for name, part in zip(layer.packing.parts, parts, strict=True):
            if name in projections:
                part.copy_(dct_matrix(len(part), part[0].numel()).reshape(part.shape))
        with torch.no_grad():
            weight.copy_(layer.packing.pack(parts))
