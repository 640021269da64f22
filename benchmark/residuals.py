"""Residual branches of a model, read off the data flow of one forward pass without numbers."""

from __future__ import annotations

from torch import nn

from benchmark.branches import Branch, branches_of
from benchmark.dataflow import trace
from benchmark.errors import UsageError
from benchmark.layers import describe
from benchmark.norms import norms


def residual_branches(model: nn.Module) -> tuple[Branch, ...]:
    """Return the residual branches of `model` in execution order; its layers are Conv and Linear.

    Raises UsageError if the model does not accept images of any size tried.
    """
    flow = trace(model)
    if flow is None:
        raise UsageError(
            f"the structure of {type(model).__name__} cannot be read: no size of image that was"
            " tried passes through it"
        )
    layer_of = {layer.parameter: layer.name for layer, _ in describe(model)}
    norm_of = {
        f"{name}.{parameter}" if name else parameter: name
        for name, module in norms(model)
        for parameter, _ in module.named_parameters(recurse=False)
    }
    return branches_of(flow, layer_of, norm_of)
