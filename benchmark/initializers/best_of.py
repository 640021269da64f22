"""The draw of a layer that balances its strengths best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from benchmark.plugins import InitializerName, initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "best_of",
    summary="of k draws by another initializer the one of lowest strength variance, layer by layer",
    paper="arXiv:2207.08148",
)
def best_of(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    initializer: InitializerName,
    k: Annotated[int, Ge(1)] = 100,
) -> None:
    """Draw the layer k times by `initializer`, keep the draw of lowest strength-variance score.

    `best_of(orthogonal, k=100)` is the random search of the paper's code. Every draw has the
    layer's own shape, so that its fans are the layer's. Packed q, k and v are searched one by one.
    """
    from benchmark.strength_search import search

    search(weight, layer, generator, initializer, k, sign=1.0)
