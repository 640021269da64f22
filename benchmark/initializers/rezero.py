"""ReZero: one scalar a block, zero at first, instead of norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "rezero",
    summary="no norms; residual branches times a trained scalar, 0 at first, shared by a block",
    paper="arXiv:2003.04887",
    level="model",
    touches=("scales",),
    changes_architecture=True,
)
def rezero(model: nn.Module, generator: torch.Generator) -> None:
    """Take norms out and make each skip connection x + alpha F(x) with alpha = 0 at first.

    Attention and MLP of a transformer block share one alpha, as in the authors' code; a block with
    one branch has one. Weights stay as the constructor drew them, layer scales start at 1. The
    authors' learning rate for alpha is the one of all parameters. Raises UsageError for a model
    without residual branches, with norms that cannot be taken out, or with a branch that no module
    of its own returns. Bachlechner et al. 2020, equation 1.
    """
    from benchmark.scalars import multiply_output, share_multiplier
    from benchmark.unnormalised import residual_exits

    exits = residual_exits(model, "rezero")
    names = {module: name for name, module in model.named_modules()}
    owners: dict[str, nn.Module] = {}
    for module in exits:
        block = names[module].rpartition(".")[0]
        if block in owners:
            share_multiplier(module, owners[block])
        else:
            owners[block] = module
            multiply_output(model, module, 0.0)
