"""What an initializer may need to know of a layer: its name, shape, fans, role, surroundings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, cast

from torch import nn
from torch.nn.modules.conv import _ConvNd

from benchmark.activations import gain_of
from benchmark.packing import Packing, packing_of

Kind = Literal["conv", "linear"]
Role = Literal["stem", "body", "residual_end", "qkv", "head"]

_STANDARDISED = {"StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"}


@dataclass(frozen=True)
class Layer:
    """One Conv or Linear weight of a model.

    `parameter` is the weight's qualified name, `bias` that of its bias or None; `shape` is that of
    the weight, `groups` of a convolution. `packing` says which matrices are packed along the output
    axis (`blocks` of them, 3 for a packed qkv). `index` is the layer's place in registration order
    among `depth` such layers. `activation` is the name of the nonlinearity behind the layer, None
    where there is none (or none was found), and `gain` what is recommended for it.
    `standardised` layers subtract the mean of every filter and divide by its deviation at each
    forward pass, so that the scale of their weights has no effect.

    A tensor-level initializer is called once for every packed matrix, with a layer that describes
    that matrix alone: then `part` is its name (q, k, v), otherwise "".
    """

    name: str
    kind: Kind
    role: Role
    shape: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    index: int = 0
    depth: int = 1
    packing: Packing = field(default_factory=Packing)
    part: str = ""
    activation: str | None = None
    gain: float = 1.0
    standardised: bool = False
    parameter: str = ""
    bias: str | None = None

    @property
    def blocks(self) -> int:
        """Number of matrices packed in the weight: 1, or 3 for a packed qkv."""
        return len(self.packing.parts)

    @property
    def depthwise(self) -> bool:
        """Whether every input channel of the convolution is a group of its own."""
        return self.groups > 1 and self.inputs == 1

    @property
    def inputs(self) -> int:
        """Input channels of one group."""
        return self.shape[0] // self.groups if self.transposed else self.shape[1]

    @property
    def outputs(self) -> int:
        """Output channels of one group, of all packed matrices together."""
        return self.shape[1] if self.transposed else self.shape[0] // self.groups

    @property
    def fan_in(self) -> int:
        """Inputs of one output neuron: input channels of its group times kernel positions."""
        return self.inputs * math.prod(self.shape[2:])

    @property
    def fan_out(self) -> int:
        """Outputs that one input neuron reaches: output channels of its group times positions.

        In one packed matrix; the mean over them where they differ.
        """
        return self.outputs * math.prod(self.shape[2:]) // self.blocks

    def fan(self, mode: Literal["fan_in", "fan_out", "fan_avg"]) -> float:
        """Return fan_in, fan_out or their mean."""
        fans = {"fan_in": self.fan_in, "fan_out": self.fan_out}
        return fans.get(mode, (self.fan_in + self.fan_out) / 2)

    def split(self) -> tuple[Layer, ...]:
        """Return a layer for each packed matrix, in the order of `Packing.unpack`."""
        if self.blocks == 1:
            return (self,)
        return tuple(
            replace(
                self,
                shape=(rows * self.packing.heads, *self.shape[1:]),
                packing=Packing(),
                part=part,
            )
            for part, rows in zip(self.packing.parts, self.packing.rows, strict=True)
        )


class _Found(NamedTuple):
    name: str
    module: nn.Module
    weight: nn.Parameter
    parameter: str
    bias: str | None
    packing: Packing


def describe(model: nn.Module) -> list[tuple[Layer, nn.Parameter]]:
    """Return every Conv and Linear weight of `model` with its layer; a tied weight once.

    The input projections of `nn.MultiheadAttention` are layers too. What stands around a layer is
    read off one forward pass of shapes (`benchmark.dataflow`); where none is possible, every
    `activation` is None and no layer is a residual_end.
    """
    found: list[_Found] = []
    seen: set[int] = set()
    for each in _weights(model):
        if id(each.weight) not in seen:
            seen.add(id(each.weight))
            found.append(each)
    from benchmark.surroundings import surroundings_of

    around = surroundings_of(model)
    heads = _head_names(model, found, around.last)
    layers = []
    for index, each in enumerate(found):
        module, shape = each.module, tuple(each.weight.shape)
        packed = len(each.packing.parts) > 1
        role: Role = "body"
        if each.name in heads:
            role = "head"
        elif packed:
            role = "qkv"
        elif each.parameter in around.residual_ends:
            role = "residual_end"
        elif each.parameter == around.first or (around.first is None and index == 0):
            role = "stem"
        activation, slope = around.activations.get(each.parameter, (None, 0.0))
        layer = Layer(
            name=each.name,
            kind="conv" if isinstance(module, _ConvNd) else "linear",
            role=role,
            shape=shape,
            groups=getattr(module, "groups", 1),
            transposed=bool(getattr(module, "transposed", False)),
            index=index,
            depth=len(found),
            packing=each.packing,
            activation=activation,
            gain=gain_of(activation, slope),
            standardised=any(kind.__name__ in _STANDARDISED for kind in type(module).__mro__),
            parameter=each.parameter,
            bias=each.bias,
        )
        layers.append((layer, each.weight))
    return layers


def _weights(model: nn.Module) -> Iterator[_Found]:
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, (_ConvNd, nn.Linear)):
            weight = cast(nn.Parameter, module.weight)
            bias = f"{prefix}bias" if isinstance(module.bias, nn.Parameter) else None
            packing = packing_of(name, module, model)
            yield _Found(name, module, weight, f"{prefix}weight", bias, packing)
        elif isinstance(module, nn.MultiheadAttention):
            yield from _attention_weights(prefix, module)


def _attention_weights(prefix: str, module: nn.MultiheadAttention) -> Iterator[_Found]:
    """Yield the input projections, which are parameters of the module itself."""
    width = module.embed_dim
    if module.in_proj_weight is not None:
        bias = f"{prefix}in_proj_bias" if module.in_proj_bias is not None else None
        packing = Packing(("q", "k", "v"), (width,) * 3)
        name = f"{prefix}in_proj"
        yield _Found(name, module, module.in_proj_weight, f"{name}_weight", bias, packing)
        return
    for part in ("q", "k", "v"):
        name = f"{prefix}{part}_proj"
        weight = getattr(module, f"{part}_proj_weight")
        yield _Found(name, module, weight, f"{name}_weight", None, Packing(rows=(width,)))


def _head_names(model: nn.Module, found: list[_Found], last: str | None) -> tuple[str, ...]:
    """Name the layers that give the logits: what timm says, else the last one on the way there.

    The last linear one that is registered where the way is not known.
    """
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") if isinstance(config, dict) else None
    if classifier:
        return (classifier,) if isinstance(classifier, str) else tuple(classifier)
    reached = [each.name for each in found if each.parameter == last]
    linear = [each.name for each in found if isinstance(each.module, nn.Linear)]
    return tuple(reached or linear[-1:])
