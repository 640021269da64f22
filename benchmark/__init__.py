"""initbench: a benchmark suite and leaderboard for the initialisation of neural networks.

Importing this imports neither torch nor ray; what needs them loads them when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.plugins import architecture, dataset, initializer, named_recipe, rewiring
from benchmark.version import __version__

if TYPE_CHECKING:
    from benchmark.initialization import initialize, rewire
    from benchmark.results.frame import load_records

__all__ = [
    "__version__",
    "architecture",
    "dataset",
    "initialize",
    "initializer",
    "load_records",
    "named_recipe",
    "rewire",
    "rewiring",
]

_LAZY = {
    "initialize": "benchmark.initialization",
    "rewire": "benchmark.initialization",
    "load_records": "benchmark.results.frame",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
