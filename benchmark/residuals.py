"""Residual branches of a model, read off the graph of one forward pass.

The pass runs on a copy without data (torch's meta device) in evaluation mode: it costs
milliseconds, reads no random numbers and leaves the model as it is.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmark.errors import UsageError
from benchmark.layers import describe
from benchmark.norms import is_norm


# The operations that apply a weight; one that is only added to something is no layer of a branch.
_PRODUCTS = ("Convolution", "Addmm", "Mm", "Bmm", "Linear")


@dataclass(frozen=True)
class Branch:
    """What is added to one skip connection, in the qualified names of its modules.

    `layers` are its Conv and Linear layers in execution order without those that only make a gate
    (squeeze and excitation), `ends` the ones behind which no other stands, `final_norms` the last
    norms on every way from there to the addition (none if a way has none), and `exit` the module
    whose output is the branch's (None where that is the result of an expression, or of a module
    that other places call too).
    """

    layers: tuple[str, ...]
    ends: tuple[str, ...]
    final_norms: tuple[str, ...]
    exit: str | None


def residual_branches(model: nn.Module) -> tuple[Branch, ...]:
    """Return the residual branches of `model` in execution order.

    An addition is a residual connection if everything that both its inputs depend on goes through
    one tensor, the start of the branch, and one of the two ways from there - the skip - has no
    Conv or Linear layer or fewer of them than the other, as a downsampling skip has. An addition
    of two ways alike, or of ways that themselves hold a skip each, is none.
    Raises UsageError if the model does not accept images of any size tried.
    """
    graph = _trace(model)
    found = (_branch(graph, join) for join in range(len(graph.nodes)))
    return tuple(branch for branch in found if branch is not None)


@dataclass
class _Graph:
    """Operations of a forward pass, inputs first; a set of operations is an int of bits.

    Only operations that depend on the images are here: what becomes of a parameter on its way
    belongs to the operation that uses it.
    """

    nodes: list[Any] = field(default_factory=list)
    inputs: list[list[int]] = field(default_factory=list)
    upstream: list[int] = field(default_factory=list)
    layers: list[list[str]] = field(default_factory=list)
    norms: list[list[str]] = field(default_factory=list)
    outputs: list[tuple[str, Any]] = field(default_factory=list)
    gates: int = 0

    def until(self, node: int) -> int:
        """Return the operations that `node` depends on, and itself."""
        return self.upstream[node] | 1 << node

    def layers_in(self, operations: int) -> list[str]:
        """Return the layers of a set of operations, those that make a gate left out."""
        names = [name for node in _bits(operations & ~self.gates) for name in self.layers[node]]
        return list(dict.fromkeys(names))

    def walk_back(
        self, start: int, within: int, stops: Callable[[int], bool]
    ) -> tuple[int, int]:
        """Walk against the data, not beyond where it stops; return what was passed and reached."""
        passed = reached = 0
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if not within >> node & 1 or (passed | reached) >> node & 1:
                continue
            if stops(node):
                reached |= 1 << node
                continue
            passed |= 1 << node
            waiting += self.inputs[node]
        return passed, reached

    def is_layer(self, node: int) -> bool:
        return bool(self.layers[node]) and not self.gates >> node & 1

    def exit_of(self, node: int) -> str | None:
        """Return the outermost module with that output, if the model calls it once."""
        calls = Counter(name for name, _ in self.outputs)
        found = [name for name, output in self.outputs if output is self.nodes[node]]
        once = [name for name in found if calls[name] == 1]
        return once[-1] if once else None


def _branch(graph: _Graph, join: int) -> Branch | None:
    """Return the branch that ends in the addition `join`, if it is a residual connection."""
    ways = graph.inputs[join]
    if graph.nodes[join].name() != "AddBackward0" or len(set(ways)) != 2:
        return None
    common = graph.until(ways[0]) & graph.until(ways[1])
    start = common.bit_length() - 1
    if not common or graph.until(start) != common or _has_several_outputs(graph.nodes[start]):
        return None
    sides = {way: graph.until(way) & ~common for way in ways}
    counts = {way: len(graph.layers_in(sides[way])) for way in ways}
    skips = {way for way in ways if _passes_without_layer(graph, way, sides[way], start)}
    if len(skips) == 1:
        (branch,) = set(ways) - skips
    elif not skips and counts[ways[0]] != counts[ways[1]]:
        branch = max(ways, key=counts.__getitem__)
    else:
        return None
    _, ends = graph.walk_back(branch, sides[branch], graph.is_layer)
    return Branch(
        layers=tuple(graph.layers_in(sides[branch])),
        ends=tuple(graph.layers_in(ends)),
        final_norms=_final_norms(graph, branch, sides[branch]),
        exit=graph.exit_of(branch),
    )


def _final_norms(graph: _Graph, branch: int, side: int) -> tuple[str, ...]:
    _, last = graph.walk_back(
        branch, side & ~graph.gates, lambda node: bool(graph.norms[node]) or graph.is_layer(node)
    )
    if any(graph.is_layer(node) for node in _bits(last)):
        return ()
    return tuple(dict.fromkeys(name for node in _bits(last) for name in graph.norms[node]))


def _has_several_outputs(node: Any) -> bool:
    return node.name().startswith(("Split", "Unbind", "UnsafeSplit"))


def _passes_without_layer(graph: _Graph, way: int, side: int, start: int) -> bool:
    passed, _ = graph.walk_back(way, side, graph.is_layer)
    return way == start or any(start in graph.inputs[node] for node in _bits(passed))


def _trace(model: nn.Module) -> _Graph:
    """Run a copy of the model on the meta device and read the graph that autograd keeps."""
    twins = {
        id(tensor): nn.Parameter(torch.empty_like(tensor, device="meta"))
        if isinstance(tensor, nn.Parameter)
        else torch.empty_like(tensor, device="meta")
        for tensor in [*model.parameters(), *model.buffers()]
    }
    twin = copy.deepcopy(model, dict(twins)).eval()
    layer_of = {twins[id(weight)]: layer.name for layer, weight in describe(model)}
    norm_of = {
        parameter: name
        for name, module in twin.named_modules()
        if is_norm(module)
        for parameter in module.parameters(recurse=False)
    }
    graph = _Graph()
    for name, module in twin.named_modules():
        module.register_forward_hook(_note_output(graph, name))
    images, logits = _forward(twin, model, graph)
    _fill(graph, logits.grad_fn, images, layer_of, norm_of)
    return graph


def _note_output(graph: _Graph, name: str) -> Callable[..., None]:
    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        graph.outputs.append((name, getattr(output, "grad_fn", None)))

    return note


def _forward(
    twin: nn.Module, model: nn.Module, graph: _Graph
) -> tuple[torch.Tensor, torch.Tensor]:
    failure: Exception | None = None
    for shape in _input_shapes(model):
        graph.outputs.clear()
        images = torch.empty(shape, device="meta", requires_grad=True)
        try:
            with torch.enable_grad():
                output = twin(images)
        except Exception as error:  # noqa: BLE001
            failure = error
            continue
        return images, output[0] if isinstance(output, (tuple, list)) else output
    raise UsageError(
        f"the structure of {type(model).__name__} cannot be traced: it accepts no images of the"
        f" sizes tried ({failure})"
    )


def _input_shapes(model: nn.Module) -> Iterator[tuple[int, ...]]:
    """Yield shapes of a batch that the model may accept: what it says of itself comes first."""
    stem = next((layer for layer, _ in describe(model)), None)
    if stem is None:
        raise UsageError(f"{type(model).__name__} has no Conv or Linear layer")
    if stem.kind == "linear":
        yield (2, stem.shape[1])
        return
    config = getattr(model, "pretrained_cfg", None) or {}
    own = getattr(getattr(model, "patch_embed", None), "img_size", None) or ()
    declared = config.get("input_size", ())[1:] if isinstance(config, dict) else ()
    squares = [(size, size) for size in (32, 64, 224, 256, 384)]
    for size in dict.fromkeys([tuple(own), tuple(declared), *squares]):
        if size:
            yield (2, stem.shape[1] * stem.groups, *size)


def _fill(
    graph: _Graph,
    output: Any,
    images: torch.Tensor,
    layer_of: dict[Any, str],
    norm_of: dict[Any, str],
) -> None:
    index: dict[Any, int] = {}
    used: dict[Any, frozenset[Any]] = {}
    for node in _inputs_first(output):
        sources = [source for source, _ in node.next_functions if source is not None]
        variable = getattr(node, "variable", None)
        parameters = frozenset().union(*(used.get(source, ()) for source in sources))
        active = [index[source] for source in sources if source in index]
        if variable is not images and not active:
            used[node] = parameters | ({variable} if variable is not None else frozenset())
            continue
        index[node] = len(graph.nodes)
        graph.nodes.append(node)
        graph.inputs.append(active)
        upstream = 0
        for source in active:
            upstream |= graph.until(source)
        graph.upstream.append(upstream)
        product = node.name().startswith(_PRODUCTS)
        graph.layers.append([layer_of[each] for each in parameters if product and each in layer_of])
        graph.norms.append(sorted({norm_of[each] for each in parameters if each in norm_of}))
        _note_gate(graph, node.name(), active)


def _note_gate(graph: _Graph, name: str, factors: list[int]) -> None:
    """Note what makes a tensor's own multiplier, as squeeze and excitation does."""
    if not name.startswith("MulBackward") or len(set(factors)) != 2:
        return
    for signal, gate in (factors, factors[::-1]):
        if graph.upstream[gate] >> signal & 1:
            graph.gates |= graph.until(gate) & ~graph.until(signal)


def _inputs_first(output: Any) -> Iterator[Any]:
    """Yield the nodes of an autograd graph, each behind all that it depends on."""
    done: set[Any] = set()
    waiting = [(output, False)]
    while waiting:
        node, expanded = waiting.pop()
        if node in done:
            continue
        if expanded:
            done.add(node)
            yield node
            continue
        waiting.append((node, True))
        waiting += [(source, False) for source, _ in node.next_functions if source is not None]


def _bits(operations: int) -> Iterator[int]:
    while operations:
        lowest = operations & -operations
        yield lowest.bit_length() - 1
        operations ^= lowest
