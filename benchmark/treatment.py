"""The thing that is ranked: an initializer and a rewiring, written `orthogonal+pa`."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import spelling
from benchmark.errors import UsageError
from benchmark.plugins import initializers, named_initializers, rewirings
from benchmark.registry import Method


@dataclass(frozen=True, order=True)
class Treatment:
    """An initializer and a rewiring in their canonical spelling."""

    initializer: str
    rewiring: str = "none"

    def __str__(self) -> str:
        rewired = f"{self.initializer}+{self.rewiring}"
        return self.initializer if self.rewiring == "none" else rewired

    @property
    def content(self) -> dict[str, object]:
        """What of the treatment decides a trial's outcome: its names and its plugins' source."""
        rewiring, _ = rewirings.resolve(self.rewiring)
        methods: list[Method] = [*named_initializers(self.initializer), rewiring]
        hashes = {method.name: method.plugin_hash for method in methods if method.plugin_hash}
        return {"initializer": self.initializer, "rewiring": self.rewiring, "plugins": hashes}


def parse_treatment(text: str) -> Treatment:
    """Read `initializer` or `initializer+rewiring`; raises UsageError for unknown names."""
    pieces = spelling.split_top_level(text, "+")
    if len(pieces) > 2:
        raise UsageError(f"{text!r} names {len(pieces) - 1} rewirings; a treatment has one")
    return Treatment(
        initializers.canonical(pieces[0]),
        rewirings.canonical(pieces[1]) if len(pieces) == 2 else "none",
    )
