"""Scalars that a method adds to a network: multipliers of outputs and biases of inputs.

A scalar is a parameter of the module that it belongs to, applied by a hook: no other parameter
changes its name, and optimizers, `torch.func` and copies of the model find it like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmark.norms import is_norm

_LAYER_SCALE = re.compile(r"gamma(_?\d+)?")


def multiply_output(model: nn.Module, module: nn.Module, value: float) -> None:
    """Multiply what a module of the model returns by a scalar, its `output_multiplier`."""
    module.register_parameter("output_multiplier", _scalar(model, value))
    module.register_forward_hook(partial(_multiplied, module))


def share_multiplier(module: nn.Module, owner: nn.Module) -> None:
    """Multiply what a module returns by the `output_multiplier` of another module.

    The parameter stays that of the other alone: a copy on another device would tear two apart.
    """
    module.register_forward_hook(partial(_multiplied, owner))


def shift_input(model: nn.Module, module: nn.Module, value: float = 0.0) -> None:
    """Add a scalar, its `input_bias`, to what a module of the model is called with."""
    module.register_parameter("input_bias", _scalar(model, value))
    module.register_forward_pre_hook(_shifted)


def layer_scales(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the multipliers per channel that CaiT introduced, by the names that timm gives them."""
    for module in model.modules():
        if not is_norm(module):
            for name, parameter in module.named_parameters(recurse=False):
                if _LAYER_SCALE.fullmatch(name):
                    yield parameter


def _scalar(model: nn.Module, value: float) -> nn.Parameter:
    like = next(model.parameters())
    return nn.Parameter(torch.full((1,), value, dtype=like.dtype, device=like.device))


def _multiplied(owner: Any, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output * owner.output_multiplier


def _shifted(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0] + module.input_bias, *inputs[1:])
