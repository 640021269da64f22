"""What stands around a layer: the activation behind it, the residual branch it ends.

Both are read off the data flow of one forward pass. The activation behind a layer is the first
nonlinearity that its outputs reach through norms, scales, pools and additions, before any other
layer; along a residual stream, whose sums are used more than once, it looks no further than one
sum. A layer ends a residual branch if no other weight, attention or gate lies between it and the
addition of the branch to its shortcut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from torch import nn

from benchmark import models
from benchmark.dataflow import Flow, Node, trace

_ACTIVATIONS = {
    **{name: name for name in ("relu", "gelu", "silu", "mish", "softplus", "tanh", "sigmoid")},
    **{name: name for name in ("hardswish", "hardsigmoid", "leaky_relu")},
    "prelu": "leaky_relu",
    "_prelu_kernel": "leaky_relu",
    "hardtanh": "relu6",
}
_GATES = {"sigmoid", "hardsigmoid", "_softmax", "softmax", "tanh"}
_PRODUCTS = {"mm", "bmm", "baddbmm", "addmm"}
_BARRIERS = {"_softmax", "softmax"}
_PRELU_SLOPE = 0.25


@dataclass(frozen=True)
class Surroundings:
    """By qualified name of the weights: activations (with slope), residual ends, the first."""

    activations: dict[str, tuple[str, float]] = field(default_factory=dict)
    residual_ends: frozenset[str] = frozenset()
    first: str | None = None


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
    ends = frozenset(name for node in residual_ends(flow) for name in node.weights)
    first = next((name for node in flow.weighted() for name in node.weights), None)
    return Surroundings(activations, ends, first)


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


def residual_ends(flow: Flow) -> Iterator[Node]:
    """Yield the last weighted operation of every residual branch of a data flow.

    An addition joins a branch to its shortcut if one operand is computed from the other (identity
    shortcut), or if both come from one fork and exactly one weight lies on the shortcut and more
    on the branch (projection shortcut). Anything else, as the sum of equal branches, is no
    residual.
    """
    ancestors: list[int] = []
    for node in flow.nodes:
        mask = 1 << node.index
        for parent in node.inputs:
            mask |= ancestors[parent.index]
        ancestors.append(mask)
    dominators = _dominators(flow)
    found: dict[int, Node] = {}
    for node in flow.nodes:
        if not _is_addition(node):
            continue
        one, other = dict.fromkeys(node.inputs)
        if branch := _branch(flow, one, other, ancestors, dominators):
            found |= {end.index: end for end in _last_weights(*branch)}
    yield from (found[index] for index in sorted(found))


def _branch(
    flow: Flow, one: Node, other: Node, ancestors: list[int], dominators: list[int]
) -> tuple[Node, int] | None:
    """Return the end of the residual branch and the index of its fork, None if there is none."""
    if ancestors[other.index] >> one.index & 1:
        return other, one.index
    if ancestors[one.index] >> other.index & 1:
        return one, other.index
    fork = _common(one.index, other.index, dominators)
    weights = [_longest(flow, fork, x, ancestors) for x in (one, other)]
    if min(weights) == 1 < max(weights):
        return one if weights[0] > weights[1] else other, fork
    return None


def _dominators(flow: Flow) -> list[int]:
    """Return for each node the last one that every path from the input to it passes."""
    dominators = [0] * len(flow.nodes)
    for node in flow.nodes[1:]:
        nearest = node.inputs[0].index
        for parent in node.inputs[1:]:
            nearest = _common(nearest, parent.index, dominators)
        dominators[node.index] = nearest
    return dominators


def _common(one: int, other: int, dominators: list[int]) -> int:
    while one != other:
        if one < other:
            one, other = other, one
        one = dominators[one]
    return one


def _longest(flow: Flow, fork: int, end: Node, ancestors: list[int]) -> int:
    """Return the most weighted operations on a path from the fork to a node."""
    length = {fork: 0}
    for node in flow.nodes[fork + 1 : end.index + 1]:
        known = [length[x.index] for x in node.inputs if x.index in length]
        if known and ancestors[end.index] >> node.index & 1:
            length[node.index] = max(known) + bool(node.weights)
    return length.get(end.index, 0)


def _last_weights(branch: Node, fork: int) -> list[Node]:
    """Walk back from a branch's end to its last weights; none where attention is in between."""
    ends, stack, seen = [], [branch], set()
    while stack:
        node = stack.pop()
        if node.index in seen or node.index <= fork:
            continue
        seen.add(node.index)
        if node.weights:
            ends.append(node)
        elif _is_barrier(node) or node.operation in _GATES:
            return []
        else:
            stack += [x for x in node.inputs if len(node.inputs) == 1 or not _is_gate(x, node)]
    return ends


def _is_gate(operand: Node, product: Node) -> bool:
    """Tell whether an operand of a product is a gate: a sigmoid or softmax of something."""
    if product.operation != "mul":
        return False
    while not operand.weights and len(operand.inputs) == 1:
        if operand.operation in _GATES:
            return True
        operand = operand.inputs[0]
    return operand.operation in _GATES
