"""Kraehenbuehl's data-dependent initialisation, its step within layers."""

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
    "krahenbuhl",
    summary="normal weights, then every output channel shifted and scaled to unit variance",
    paper="arXiv:1511.06856",
    level="model",
    touches=("biases",),
    needs_data=True,
)
def krahenbuhl(
    model: nn.Module,
    generator: torch.Generator,
    batch: tuple[torch.Tensor, torch.Tensor],
    bias: float = 0.1,
) -> None:
    """Normalise each output channel of each layer on a batch, in execution order.

    Weights are drawn from N(0, 1) and biases start at 0. Then, with mean mu and deviation s of a
    channel of the output over images and positions, its filter becomes W / s and its bias, where
    the layer has one, -mu / s + `bias`. A channel that does not vary stays, and so
    does a layer with standardised weights, whose scale has no effect. This is the method's
    first step with Gaussian weights, the default of the authors' code; the second, which evens the
    relative learning rates of layers out, is left out: their code has it for feed-forward networks
    of homogeneous layers only. Kraehenbuehl et al. 2016, section 3.1.
    """
    import torch

    from benchmark.drawing import draw, zero_biases
    from benchmark.layers import describe
    from benchmark.matrices import kernels
    from benchmark.propagation import adjust_in_order, observed

    layers = describe(model)
    draw(layers, lambda weight, _, stream: weight.normal_(generator=stream), generator)
    zero_biases(model, (layer for layer, _ in layers))

    def normalise(layer: Layer, module: Weighted, output: Callable[[], torch.Tensor]) -> None:
        if layer.standardised:
            return
        values = output().float()
        channels = values.movedim(-1 if layer.kind == "linear" else 1, 0).flatten(1)
        std, mean = torch.std_mean(channels, dim=1, correction=0)
        std = torch.where(std > 0, std, 1.0)
        with torch.no_grad():
            # A view of a group's filters each, outputs first, however the module stores them.
            for kernel, own in zip(
                kernels(module.weight, layer), std.chunk(layer.groups), strict=True
            ):
                kernel.div_(own.view(-1, *[1] * (kernel.ndim - 1)))
            if module.bias is not None:
                module.bias.copy_(bias - mean / std)

    with observed(model):
        adjust_in_order(model, batch[0], normalise)
