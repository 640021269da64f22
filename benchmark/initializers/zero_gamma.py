"""Zero-gamma: residual branches of a normalised network start at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "zero_gamma",
    summary="as built, but the last norm of every residual branch starts with weight 0",
    paper="arXiv:1706.02677",
    level="model",
    touches=("norms",),
)
def zero_gamma(model: nn.Module, generator: torch.Generator) -> None:
    """Set gamma = 0 in the last norm of every residual branch that ends in norms.

    All else stays as the constructor drew it; timm's ResNets are built this way already. Raises
    UsageError where no branch has a norm behind its last layer (pre-norm transformers, ConvNeXt).
    Goyal et al. 2017, section 5.1.
    """
    import torch

    from benchmark.residuals import residual_branches

    names = [name for branch in residual_branches(model) for name in branch.final_norms]
    gammas = [getattr(model.get_submodule(name), "weight", None) for name in names]
    weights = [gamma for gamma in gammas if gamma is not None]
    if not weights:
        raise UsageError(
            f"zero_gamma: no residual branch of {type(model).__name__} ends in a norm with a weight"
        )
    with torch.no_grad():
        for weight in weights:
            weight.zero_()
