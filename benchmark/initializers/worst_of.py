"""The draw of a layer that balances its strengths worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from benchmark.plugins import InitializerName, initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "worst_of",
    summary="of k draws by another initializer the one of highest strength variance, by layer",
    paper="control arm",
)
def worst_of(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    initializer: InitializerName,
    k: Annotated[int, Ge(1)] = 100,
) -> None:
    """Draw the layer k times by `initializer`, keep the draw of highest strength-variance score.

    Shares its draws with `best_of`: the same seed searches the same k matrices.
    """
    from benchmark.strength_search import search

    search(weight, layer, generator, initializer, k, sign=-1.0)
