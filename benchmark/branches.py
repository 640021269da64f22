"""Residual branches of a data flow: what is added to a skip connection, and where it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmark.dataflow import SPLITTING, Flow, Node


@dataclass(frozen=True)
class Branch:
    """What is added to one skip connection, by the names that layers and norms were given.

    `layers` are its layers in execution order without those that only make a gate
    (squeeze and excitation), `ends` the ones behind which no other stands, `final_norms` the last
    norms on every way from there to the addition (none if a way has none), and `exit` the module
    whose output is the branch's (None where that is the result of an expression, or of a module
    that other places call too).
    """

    layers: tuple[str, ...]
    ends: tuple[str, ...]
    final_norms: tuple[str, ...]
    exit: str | None


def branches_of(
    flow: Flow, layer_of: Mapping[str, str], norm_of: Mapping[str, str]
) -> tuple[Branch, ...]:
    """Return the residual branches of a data flow in execution order.

    `layer_of` and `norm_of` name the layers and norms, as branches hold them, by the qualified
    names of their parameters; others count as neither.

    An addition is a residual connection if everything that both its inputs depend on goes through
    one tensor, the start of the branch, and one of the two ways from there - the skip - has no
    layer or fewer of them than the other, as a downsampling skip has. An addition of two ways
    alike, or of ways that themselves hold a skip each, is none.
    """
    graph = _Graph(flow, layer_of, norm_of)
    found = (graph.branch(node) for node in flow.nodes)
    return tuple(branch for branch in found if branch is not None)


class _Graph:
    """A data flow with what its operations depend on; a set of operations is an int of bits."""

    def __init__(self, flow: Flow, layer_of: Mapping[str, str], norm_of: Mapping[str, str]) -> None:
        self.flow = flow
        self.layers = [_known(node.weights, layer_of) for node in flow.nodes]
        self.norms = [_known(node.parameters, norm_of) for node in flow.nodes]
        self.until: list[int] = []
        self.gates = 0
        for node in flow.nodes:
            self.until.append(1 << node.index)
            for source in node.inputs:
                self.until[-1] |= self.until[source.index]
            self._note_gate(node)

    def branch(self, join: Node) -> Branch | None:
        """Return the branch that ends in the addition `join`, if it is a residual connection."""
        ways = [source.index for source in join.inputs]
        if join.operation != "add" or len(set(ways)) != 2:
            return None
        common = self.until[ways[0]] & self.until[ways[1]]
        start = common.bit_length() - 1
        several = self.flow.nodes[start].operation in SPLITTING
        if several or self.until[start] != common:
            return None
        sides = {way: self.until[way] & ~common for way in ways}
        counts = {way: len(self._layers_in(sides[way])) for way in ways}
        skips = {way for way in ways if self._has_no_layer(way, sides[way], start)}
        if len(skips) == 1:
            (end,) = set(ways) - skips
        elif not skips and counts[ways[0]] != counts[ways[1]]:
            end = max(ways, key=counts.__getitem__)
        else:
            return None
        _, ends = self._walk_back(end, sides[end], self._is_layer)
        return Branch(
            layers=self._layers_in(sides[end]),
            ends=self._layers_in(ends),
            final_norms=self._final_norms(end, sides[end]),
            exit=self._exit_of(end),
        )

    def _note_gate(self, node: Node) -> None:
        """Note what makes a tensor's own multiplier, as squeeze and excitation does."""
        factors = list(dict.fromkeys(source.index for source in node.inputs))
        if node.operation != "mul" or len(factors) != 2:
            return
        for signal, gate in (factors, factors[::-1]):
            if self.until[gate] >> signal & 1:
                self.gates |= self.until[gate] & ~self.until[signal]

    def _is_layer(self, node: int) -> bool:
        return bool(self.layers[node]) and not self.gates >> node & 1

    def _layers_in(self, operations: int) -> tuple[str, ...]:
        names = [name for node in _bits(operations & ~self.gates) for name in self.layers[node]]
        return tuple(dict.fromkeys(names))

    def _walk_back(self, start: int, within: int, stops: Callable[[int], bool]) -> tuple[int, int]:
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
            waiting += [source.index for source in self.flow.nodes[node].inputs]
        return passed, reached

    def _has_no_layer(self, way: int, side: int, start: int) -> bool:
        """Say whether some path from `start` to `way` passes no layer."""
        passed, _ = self._walk_back(way, side, self._is_layer)
        inputs = {source.index for node in _bits(passed) for source in self.flow.nodes[node].inputs}
        return way == start or start in inputs

    def _final_norms(self, end: int, side: int) -> tuple[str, ...]:
        def stops(node: int) -> bool:
            return bool(self.norms[node]) or self._is_layer(node)

        _, last = self._walk_back(end, side & ~self.gates, stops)
        if any(self._is_layer(node) for node in _bits(last)):
            return ()
        return tuple(dict.fromkeys(name for node in _bits(last) for name in self.norms[node]))

    def _exit_of(self, end: int) -> str | None:
        """Return the outermost module with that output, of those that are called once."""
        calls = Counter(name for name, _ in self.flow.outputs)
        found = [name for name, node in self.flow.outputs if node.index == end]
        once = [name for name in found if calls[name] == 1]
        return once[-1] if once else None


def _known(names: tuple[str, ...], owners: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(owners[name] for name in names if name in owners))


def _bits(operations: int) -> Iterator[int]:
    while operations:
        lowest = operations & -operations
        yield lowest.bit_length() - 1
        operations ^= lowest
