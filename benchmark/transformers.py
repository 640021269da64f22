"""Which layers of a model are the attention and the MLPs of a transformer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from benchmark.errors import UsageError
from benchmark.layers import Layer, describe
from benchmark.residuals import residual_branches

_PROJECTIONS = {"q": ("q", "q_proj"), "k": ("k", "k_proj"), "v": ("v", "v_proj")}


@dataclass(frozen=True)
class Transformer:
    """The layers in a model's residual branches, and how many of these hold an attention."""

    layers: tuple[tuple[Layer, nn.Parameter], ...]
    depth: int

    def is_query_or_key(self, layer: Layer) -> bool:
        """Say whether a layer, or a packed part of one, makes queries or keys."""
        return _part(layer) in ("q", "k")


def transformer(model: nn.Module, method: str) -> Transformer:
    """Return what of the model is a transformer.

    Raises UsageError, naming the method, unless all residual branches are attention, whose q, k
    and v can be told apart, or MLPs of Linear layers.
    """
    branches = residual_branches(model)
    inside = {name for branch in branches for name in branch.layers}
    layers = tuple(pair for pair in describe(model) if pair[0].name in inside)
    values = {layer.name for layer, _ in layers for part in layer.split() if _part(part) == "v"}
    depth = sum(1 for branch in branches if values & set(branch.layers))
    others = [layer.name for layer, _ in layers if layer.kind != "linear"]
    if not depth or others:
        reason = f"{others[0]} is no Linear layer" if others else "no attention was found"
        raise UsageError(
            f"{method} is for transformers, whose residual branches are attention and MLPs:"
            f" {reason} in {type(model).__name__}"
        )
    return Transformer(layers, depth)


def _part(layer: Layer) -> str:
    if layer.part:
        return layer.part
    own = layer.name.rpartition(".")[2]
    return next((part for part, names in _PROJECTIONS.items() if own in names), "")
