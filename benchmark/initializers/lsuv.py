"""LSUV: layer by layer, unit variance on a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from benchmark.layers import Layer
    from benchmark.propagation import Weighted


@initializer(
    "lsuv",
    summary="orthogonal, then every layer's output scaled to unit variance on a batch",
    paper="arXiv:1511.06422",
    level="model",
    touches=("biases",),
    needs_data=True,
)
def lsuv(
    model: nn.Module,
    generator: torch.Generator,
    batch: tuple[torch.Tensor, torch.Tensor],
    tolerance: float = 0.1,
    attempts: int = 10,
) -> None:
    """Divide each layer's weight by the standard deviation of its output, in execution order.

    Weights start orthogonal and biases at 0. For each Conv and Linear layer that the forward pass
    of the batch reaches: while |std - 1| > `tolerance`, at most `attempts` times, W becomes W /
    std, std being that of all elements of the layer's output. One pass does, since what a layer
    gets no longer changes once it is reached. Batch norm normalises by the batch; a weight that
    layers share is scaled where it is used first; a layer whose output does not vary stays, and so
    does one with standardised weights, whose scale has no effect.
    Mishkin and Matas 2016, algorithm 1, with the tolerance of the authors' code.
    """
    import torch

    from benchmark.drawing import draw, zero_biases
    from benchmark.initializers.orthogonal import orthogonal
    from benchmark.layers import describe
    from benchmark.propagation import adjust_in_order, observed

    layers = describe(model)
    draw(layers, orthogonal, generator)
    zero_biases(model, (layer for layer, _ in layers))

    def scale(layer: Layer, module: Weighted, output: Callable[[], torch.Tensor]) -> None:
        for _ in range(0 if layer.standardised else attempts):
            std = float(output().float().std())
            if not std > 0 or abs(std - 1) <= tolerance:
                return
            with torch.no_grad():
                module.weight.div_(std)

    with observed(model):
        adjust_in_order(model, batch[0], scale)
