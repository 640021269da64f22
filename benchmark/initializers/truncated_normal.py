"""A normal distribution cut at an absolute bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "truncated_normal",
    summary="N(0, std^2) cut at +-bound, an absolute number (PyTorch's trunc_normal_)",
    paper="https://docs.pytorch.org/docs/stable/nn.init.html#torch.nn.init.trunc_normal_",
)
def truncated_normal(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    std: Annotated[float, Gt(0)] = 0.02,
    bound: Annotated[float, Gt(0)] = 2.0,
) -> None:
    """Draw every weight from N(0, std^2), cut at +-bound.

    The cut is absolute, as in `torch.nn.init.trunc_normal_`: at the defaults a hundred standard
    deviations away, which leaves a plain normal.
    """
    from benchmark.sampling import truncated_normal_

    truncated_normal_(weight, std, bound / std, generator)
