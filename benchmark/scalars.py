"""Scalars that a method adds to a network: multipliers of outputs and biases of inputs.

A scalar is a parameter of the module that it belongs to, applied by a hook: no other parameter
changes its name, and optimizers, `torch.func` and copies of the model find it like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from benchmark.norms import is_norm

_LAYER_SCALE = re.compile(r"gamma(_?\d+)?")


def new_scalar(model: nn.Module, value: float) -> nn.Parameter:
    """Return a parameter of one element with the dtype and the device of the model's first."""
    like = next(model.parameters())
    return nn.Parameter(torch.full((1,), value, dtype=like.dtype, device=like.device))


def multiply_output(module: nn.Module, scalar: nn.Parameter) -> None:
    """Multiply what the module returns by a scalar, its parameter `output_multiplier`."""
    module.register_parameter("output_multiplier", scalar)
    module.register_forward_hook(_multiplied)


def shift_input(module: nn.Module, scalar: nn.Parameter) -> None:
    """Add a scalar, its parameter `input_bias`, to what the module is called with."""
    module.register_parameter("input_bias", scalar)
    module.register_forward_pre_hook(_shifted)


def layer_scales(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the multipliers per channel that CaiT introduced, by the names that timm gives them."""
    for module in model.modules():
        if not is_norm(module):
            for name, parameter in module.named_parameters(recurse=False):
                if _LAYER_SCALE.fullmatch(name):
                    yield parameter


def _multiplied(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output * module.get_parameter("output_multiplier")


def _shifted(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0] + module.get_parameter("input_bias"), *inputs[1:])
