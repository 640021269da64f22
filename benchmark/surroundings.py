"""What stands around a layer: the activation behind it, the residual branch it ends.

Both are read off the data flow of one forward pass. The activation behind a layer is the first
nonlinearity that its outputs reach through norms, scales, pools and additions, before any other
layer; along a residual stream, whose sums are used more than once, it looks no further than one
sum. What ends a residual branch is for `benchmark.branches` to say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from torch import nn

from benchmark import models
from benchmark.branches import branches_of
from benchmark.dataflow import Node, trace

_ACTIVATIONS = {
    **{name: name for name in ("relu", "gelu", "silu", "mish", "softplus", "tanh", "sigmoid")},
    **{name: name for name in ("hardswish", "hardsigmoid", "leaky_relu")},
    "prelu": "leaky_relu",
    "_prelu_kernel": "leaky_relu",
    "hardtanh": "relu6",
}
_PRODUCTS = {"mm", "bmm", "baddbmm", "addmm"}
_BARRIERS = {"_softmax", "softmax"}
_PRELU_SLOPE = 0.25


@dataclass(frozen=True)
class Surroundings:
    """By qualified name of the weights: activations (with slope), residual ends, first and last.

    The last is None where no logits, a row for each image, stand at the end.
    """

    activations: dict[str, tuple[str, float]] = field(default_factory=dict)
    residual_ends: frozenset[str] = frozenset()
    first: str | None = None
    last: str | None = None


_MOST_KEPT = 64
_kept: dict[Hashable, Surroundings] = {}


def surroundings_of(model: nn.Module) -> Surroundings:
    """Return what stands around the weights of a model; empty where it cannot be traced.

    Models that were built alike are traced once in a process: that takes longer than to build one.
    """
    key = models.built_as(model)
    if key is None:
        return _trace(model)
    if key not in _kept:
        while len(_kept) >= _MOST_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = _trace(model)
    return _kept[key]


def _trace(model: nn.Module) -> Surroundings:
    flow = trace(model)
    if flow is None:
        return Surroundings()
    activations: dict[str, tuple[str, float]] = {}
    for node in flow.weighted():
        if found := activation_behind(node):
            for name in node.weights:
                activations.setdefault(name, found)
    weights = {name: name for node in flow.weighted() for name in node.weights}
    ends = frozenset(name for each in branches_of(flow, weights, {}) for name in each.ends)
    first, last = next(iter(weights), None), next(reversed(weights), None)
    logits = len(flow.nodes[-1].shape) == 2
    return Surroundings(activations, ends, first, last if logits else None)


def activation_behind(node: Node) -> tuple[str, float] | None:
    """Return the name and slope of the first nonlinearity behind a weight, nearest first."""
    queue = deque([(user, 0) for user in node.users])
    seen: set[int] = set()
    while queue:
        current, additions = queue.popleft()
        if current.index in seen or current.weights or _is_barrier(current):
            continue
        seen.add(current.index)
        if found := _activation(current):
            return found
        additions += _is_addition(current) and len(current.users) > 1
        if additions <= 1:
            queue.extend((user, additions) for user in current.users)
    return None


def _activation(node: Node) -> tuple[str, float] | None:
    numbers = [x for x in node.arguments if not isinstance(x, str)]
    if node.operation == "elu":
        return ("selu" if len(numbers) > 1 and numbers[1] != 1 else "elu", 0.0)
    name = _ACTIVATIONS.get(node.operation)
    if name is None:
        return None
    if name == "sigmoid" and _is_swish(node):
        return "silu", 0.0
    slope = 0.01 if not numbers else float(numbers[0])
    return name, _PRELU_SLOPE if "prelu" in node.operation else slope


def _is_swish(sigmoid: Node) -> bool:
    """Tell x * sigmoid(x), also with a factor in the sigmoid, from a sigmoid that gates others."""
    sources = {sigmoid.inputs[0].index}
    if sigmoid.inputs[0].operation == "mul":
        sources |= {parent.index for parent in sigmoid.inputs[0].inputs}
    return any(
        user.operation == "mul" and any(x.index in sources for x in user.inputs)
        for user in sigmoid.users
    )


def _is_addition(node: Node) -> bool:
    return node.operation == "add" and len({x.index for x in node.inputs}) == 2


def _is_barrier(node: Node) -> bool:
    """Tell attention's products of data with data and its softmax from what passes a signal on."""
    attention = node.operation in _PRODUCTS or "attention" in node.operation
    return attention or node.operation in _BARRIERS
