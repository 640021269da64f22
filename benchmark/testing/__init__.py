"""The conformance kit: what every method promises, checked for those of a file or of a name.

In the tests of a plugin:

    import pytest
    from benchmark.testing import conformance

    @pytest.mark.parametrize("check", conformance("my_init.py"), ids=str)
    def test_conforms(check):
        check()

`initbench check my_init.py` prints the same checks with what was expected and found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmark import plugins
from benchmark.errors import UsageError, unknown_name
from benchmark.registry import Registry
from benchmark.spelling import parse_call
from benchmark.testing.verdicts import Check, Verdict

__all__ = ["Check", "Found", "Verdict", "checks_of", "conformance", "find"]

Found = tuple[Registry[Any], str]
"""A registry and the name of a method in it, with parameters."""


def conformance(target: str) -> list[Check]:
    """Return every check of the method that `target` names, or of all methods of a plugin's file.

    Raises UsageError for an unknown name, or a file that holds no method or cannot be run.
    """
    return [check for registry, text in find(target) for check in checks_of(registry, text)]


def find(target: str) -> list[Found]:
    """Return the methods that a file, a module or a name stands for.

    Raises UsageError where there are none.
    """
    plugins.load_plugins()
    named = [] if target.endswith(".py") else _named(target)
    if not named:
        try:
            plugin = plugins.find_plugin(target)
        except UsageError as error:
            if target.endswith(".py"):
                raise
            raise _unknown(target) from error
        plugins.install_plugin(plugin)
        named = [
            (registry, method.name)
            for registry in plugins.REGISTRIES
            for method in registry.all()
            if method.function.__module__ == plugin.module
        ]
        if not named:
            raise UsageError(
                f"{target} enters no method: decorate its function with @initializer, @rewiring,"
                " @dataset, @named_recipe or @architecture of the package benchmark"
            )
    return named


def _named(text: str) -> list[Found]:
    try:
        name = parse_call(text).name
    except UsageError:
        return []
    for registry in plugins.REGISTRIES:
        registry.all()
    known = [registry for registry in plugins.REGISTRIES if registry.find(name)]
    return [(registry, registry.canonical(text)) for registry in known]


def _unknown(target: str) -> UsageError:
    names = [method.name for registry in plugins.REGISTRIES for method in registry.all()]
    hint = "'initbench list initializers' shows names; a file is a path that ends in .py"
    return UsageError(unknown_name("method", target, names, hint))


def checks_of(registry: Registry[Any], text: str) -> Iterator[Check]:
    """Yield every check of one method, `text` its name with parameters."""
    from benchmark.testing import initializers, others, rewirings

    method, arguments = registry.resolve(text)
    if registry is plugins.initializers:
        return initializers.checks(initializers.Case(method, text, arguments))
    if registry is plugins.rewirings:
        return rewirings.checks(rewirings.Case(method, text, arguments))
    if registry is plugins.datasets:
        return others.dataset_checks(method, text)
    if registry is plugins.architectures:
        return others.architecture_checks(method, text)
    return others.recipe_checks(method, text)
