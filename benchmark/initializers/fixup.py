"""Fixup: residual networks without norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer


@initializer(
    "fixup",
    summary="no norms; branches end in 0, their other layers He scaled by L^(-1/(2m-2)), scalars",
    paper="arXiv:1901.09321",
    level="model",
    touches=("biases", "scales"),
    changes_architecture=True,
)
def fixup(model: nn.Module, generator: torch.Generator) -> None:
    """Take norms out and initialise residual branches by Fixup's three rules.

    1. The classifier and the last layers of every branch are 0, biases too.
    2. Every other layer is N(0, 2 / fan_out); in a branch of m layers, of L branches in all, times
       L^(-1 / (2m - 2)). Layers that only make a gate (squeeze and excitation) do not count.
    3. Every branch is multiplied by a scalar that starts at 1; a scalar bias that starts at 0 is
       added before every Conv and Linear layer but the first and before every activation module.

    fan_out is what the authors' code takes. Their code shares the bias before a branch with the
    downsampling skip, here each layer has its own; it trains scalars at a tenth of the learning
    rate, here they have that of all parameters. Layer scales start at 1. Raises UsageError for a
    model without residual branches, with one of a single layer, with norms that cannot be taken
    out, or with a branch that no module of its own returns. Zhang et al. 2019, section 3.
    """
    from benchmark.drawing import draw, zero_biases
    from benchmark.layers import describe
    from benchmark.residuals import residual_branches
    from benchmark.scalars import multiply_output, shift_input
    from benchmark.unnormalised import activations, residual_exits

    branches = residual_branches(model)
    for branch in branches:
        if len(branch.layers) < 2:
            raise UsageError(
                f"fixup scales by L^(-1/(2m-2)), but the residual branch of {branch.layers[0]} has"
                " m = 1 layer"
            )
    exits = residual_exits(model, "fixup")
    scale = {
        name: len(branches) ** (-1 / (2 * len(branch.layers) - 2))
        for branch in branches
        for name in branch.layers
    }
    layers = describe(model)
    ends = {name for branch in branches for name in branch.ends}
    zeros = [layer for layer, _ in layers if layer.name in ends or layer.role == "head"]
    zero_names = {layer.name for layer in zeros}

    def fill(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
        if layer.name in zero_names:
            weight.zero_()
            return
        std = math.sqrt(2 / layer.fan_out) * scale.get(layer.name, 1.0)
        weight.normal_(0.0, std, generator=generator)

    draw(layers, fill, generator)
    zero_biases(model, zeros)
    for module in exits:
        multiply_output(model, module, 1.0)
    modules = dict(model.named_modules())
    inner = [layer.name for layer, _ in layers if layer.role != "stem" and layer.name in modules]
    for module in [*(modules[name] for name in inner), *activations(model)]:
        shift_input(model, module)
