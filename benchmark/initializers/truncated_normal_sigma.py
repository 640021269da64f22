"""A normal distribution cut at a number of standard deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "truncated_normal_sigma",
    summary="N(0, std^2) cut at +-bound standard deviations (JAX's and TensorFlow's)",
    paper="https://docs.jax.dev/en/latest/_autosummary/jax.nn.initializers.truncated_normal.html",
)
def truncated_normal_sigma(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    std: Annotated[float, Gt(0)] = 0.02,
    bound: Annotated[float, Gt(0)] = 2.0,
) -> None:
    """Draw every weight from N(0, std^2), cut at +-bound * std.

    The cut is relative, as in JAX, TensorFlow and timm's `trunc_normal_tf_`: at two standard
    deviations the standard deviation of what is left is 0.88 std.
    """
    from benchmark.sampling import truncated_normal_

    truncated_normal_(weight, std, bound, generator)
