"""Networks without norms, made of built ones: what Fixup, SkipInit, ReZero and T-Fixup need."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from benchmark.branches import Branch
from benchmark.errors import UsageError
from benchmark.norms import remove_norms
from benchmark.residuals import residual_branches
from benchmark.scalars import layer_scales

_ACTIVATIONS = (
    "torch.nn.modules.activation",
    "timm.layers.activations",
    "timm.layers.activations_me",
)


def take_norms_out(model: nn.Module, method: str) -> None:
    """Remove every norm and set layer scales to 1.

    Raises UsageError, naming the method, before anything is changed, if the model has no residual
    branches or a norm that cannot be removed.
    """
    _branches_without_norms(model, method)
    _take_out(model)


def residual_exits(model: nn.Module, method: str) -> list[nn.Module]:
    """Take norms out and return the module whose output is that of each residual branch.

    Raises UsageError as `take_norms_out` does, or where an expression makes a branch's output.
    """
    branches = _branches_without_norms(model, method)
    missing = [branch.ends[-1] for branch in branches if branch.exit is None]
    if missing:
        raise UsageError(
            f"{method} multiplies residual branches, but no module of its own returns the one of"
            f" {missing[0]}"
        )
    _take_out(model)
    return [model.get_submodule(str(branch.exit)) for branch in branches]


def activations(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that apply an activation function, element by element."""
    for module in model.modules():
        known = type(module).__module__ in _ACTIVATIONS
        if known and not isinstance(module, (nn.MultiheadAttention, nn.Softmax)):
            yield module


def add_conv_biases(model: nn.Module) -> None:
    """Give every convolution that has no bias one of zeros."""
    for module in model.modules():
        if isinstance(module, nn.modules.conv._ConvNd) and module.bias is None:
            module.bias = nn.Parameter(module.weight.new_zeros(module.out_channels))


def _branches_without_norms(model: nn.Module, method: str) -> tuple[Branch, ...]:
    twin = copy.deepcopy(model)
    try:
        remove_norms(twin)
    except UsageError as error:
        raise UsageError(f"{method} takes norms out, but {error}") from error
    branches = residual_branches(twin)
    if not branches:
        raise UsageError(f"{method}: {type(model).__name__} has no residual branches")
    return branches


def _take_out(model: nn.Module) -> None:
    remove_norms(model)
    with torch.no_grad():
        for scale in layer_scales(model):
            scale.fill_(1.0)
