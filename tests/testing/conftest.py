"""Plugins for the conformance kit, gone behind every test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark import plugins
from benchmark.testing import Check, conformance

Plugin = Callable[[str], dict[str, Check]]


@pytest.fixture
def own_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put registries, installed plugins and modules back behind the test."""
    for registry in plugins.REGISTRIES:
        registry.all()
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith("initbench_plugin_"):
            del sys.modules[name]


@pytest.fixture
def plugin(own_plugins: None, tmp_path: Path) -> Plugin:
    """Write a plugin and return its checks by name."""

    def write(source: str) -> dict[str, Check]:
        path = tmp_path / "planted.py"
        path.write_text(source, encoding="utf-8")
        return {check.name: check for check in conformance(str(path))}

    return write
