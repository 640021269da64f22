"""What an initializer may need to know of a layer: its name, shape, fans and role."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

Kind = Literal["conv", "linear"]
Role = Literal["stem", "body", "qkv", "head"]


@dataclass(frozen=True)
class Layer:
    """One Conv or Linear weight of a model.

    `shape` is that of the weight, `groups` of a convolution, `blocks` the independent matrices
    packed along the output axis (3 for a packed qkv), `index` its place in registration order
    among `depth` such layers.
    """

    name: str
    kind: Kind
    role: Role
    shape: tuple[int, ...]
    groups: int
    blocks: int
    transposed: bool
    index: int
    depth: int

    @property
    def fan_in(self) -> int:
        """Inputs of one output neuron: input channels of its group times kernel positions."""
        inputs = self.shape[0] // self.groups if self.transposed else self.shape[1]
        return inputs * math.prod(self.shape[2:])

    @property
    def fan_out(self) -> int:
        """Outputs that one input neuron reaches: output channels of its group times positions."""
        outputs = self.shape[1] if self.transposed else self.shape[0] // self.groups
        return outputs * math.prod(self.shape[2:]) // self.blocks

    def matrix_blocks(self, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return views [out / blocks, in] of the weight's matrix, one for each packed block."""
        return weight.reshape(weight.shape[0], -1).chunk(self.blocks)


def describe(model: nn.Module) -> list[tuple[Layer, nn.Parameter]]:
    """Return every Conv and Linear weight of `model` with its layer; a tied weight once."""
    found: list[tuple[str, nn.Module, nn.Parameter]] = []
    seen: set[int] = set()
    for name, module in _weighted_modules(model):
        if id(module.weight) not in seen:
            seen.add(id(module.weight))
            found.append((name, module, cast(nn.Parameter, module.weight)))
    heads = _head_names(model, found)
    return [
        (_layer(name, module, weight, index, len(found), heads), weight)
        for index, (name, module, weight) in enumerate(found)
    ]


def _weighted_modules(model: nn.Module) -> Iterator[tuple[str, _ConvNd | nn.Linear]]:
    for name, module in model.named_modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            yield name, module


def _head_names(
    model: nn.Module, found: list[tuple[str, nn.Module, nn.Parameter]]
) -> tuple[str, ...]:
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") if isinstance(config, dict) else None
    if classifier:
        return (classifier,) if isinstance(classifier, str) else tuple(classifier)
    linear = [name for name, module, _ in found if isinstance(module, nn.Linear)]
    return tuple(linear[-1:])


def _layer(
    name: str,
    module: nn.Module,
    weight: nn.Parameter,
    index: int,
    depth: int,
    heads: tuple[str, ...],
) -> Layer:
    shape = tuple(weight.shape)
    packed = name.rpartition(".")[2] == "qkv" and shape[0] == 3 * shape[1]
    role: Role = "body"
    if name in heads:
        role = "head"
    elif packed:
        role = "qkv"
    elif index == 0:
        role = "stem"
    return Layer(
        name=name,
        kind="linear" if isinstance(module, nn.Linear) else "conv",
        role=role,
        shape=shape,
        groups=getattr(module, "groups", 1),
        blocks=3 if packed else 1,
        transposed=bool(getattr(module, "transposed", False)),
        index=index,
        depth=depth,
    )
