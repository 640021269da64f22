"""SkipInit: a scalar at the end of every residual branch instead of norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "skipinit",
    summary="no norms; every residual branch times a trained scalar that starts at 0",
    paper="arXiv:2002.10444",
    level="model",
    touches=("scales",),
    changes_architecture=True,
)
def skipinit(model: nn.Module, generator: torch.Generator, alpha: float = 0.0) -> None:
    """Take norms out and multiply each residual branch by a scalar of its own, `alpha` at first.

    Weights stay as the constructor drew them. Convolutions without a bias get one of zeros, since
    the shift of the norm behind them is gone. Layer scales start at 1. Raises UsageError for a
    model without residual branches, with norms that cannot be taken out, or with a branch that no
    module of its own returns. De and Smith 2020, section 4.
    """
    from benchmark.scalars import multiply_output
    from benchmark.unnormalised import add_conv_biases, residual_exits

    for module in residual_exits(model, "skipinit"):
        multiply_output(model, module, alpha)
    add_conv_biases(model)
