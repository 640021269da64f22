"""What a registry is: methods of one kind by name, each with what it declares of itself."""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from benchmark import spelling
from benchmark.errors import UsageError, unknown_name

PLUGIN_HASH = "__initbench_plugin_hash__"
"""The attribute of a plugin's module that holds the hash of its source."""


@dataclass(frozen=True)
class Method:
    """What a registry knows of a method: its function and what it declares.

    `source` is the paper or formula it comes from, `parameters` what its name may set in
    parentheses, `plugin_hash` the SHA-256 of a plugin's source (None for built-in methods).
    """

    own_arguments: ClassVar[int] = 0

    name: str
    function: Callable[..., Any]
    summary: str
    source: str = ""

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return spelling.keyword_parameters(self.function, self.own_arguments)

    @property
    def plugin_hash(self) -> str | None:
        module = sys.modules.get(self.function.__module__)
        return getattr(module, PLUGIN_HASH, None)

    @property
    def origin(self) -> str:
        """The file that the method is defined in."""
        return _file_of(self.function)


M = TypeVar("M", bound=Method)


class Registry(Generic[M]):
    """The methods of one kind by name; the files of `package` are imported at the first look."""

    def __init__(self, kind: str, package: str = "") -> None:
        self.kind = kind
        self._package = package
        self._methods: dict[str, M] = {}
        self._resolved: dict[str, tuple[M, dict[str, Any]]] = {}
        self._complete = False

    def add(self, method: M) -> None:
        """Enter a method.

        Raises UsageError where another function already has the name.
        """
        function = method.function
        if not spelling._NAME.fullmatch(method.name):
            raise UsageError(f"{self.kind} name {method.name!r} is not a plain name")
        known = self._methods.get(method.name)
        if known and _definition(known.function) != _definition(function):
            raise UsageError(
                f"two methods call themselves {self.kind} {method.name!r}: "
                f"{place_of(known.function)} and {place_of(function)}; rename one"
            )
        self._methods[method.name] = method
        self._resolved.clear()

    def get(self, name: str) -> M:
        """Return the method called `name`; raises UsageError with the nearest names."""
        self._load()
        if name not in self._methods:
            plural = self.kind.replace(" ", "") + "s"
            hint = f"'initbench list {plural}' shows all."
            raise UsageError(unknown_name(self.kind, name, self._methods, hint))
        return self._methods[name]

    def find(self, text: str) -> M | None:
        """Return the method that `text` names if it has been entered, without looking for it."""
        return self._methods.get(spelling.parse_call(text).name)

    def all(self) -> list[M]:
        """Return every method, by name."""
        self._load()
        return [self._methods[name] for name in sorted(self._methods)]

    def canonical(self, text: str) -> str:
        """Return the one spelling of `text`, e.g. without parameters that are the default."""
        call = spelling.parse_call(text)
        return str(spelling.canonical_call(call, self.get(call.name).parameters, self.kind))

    def resolve(self, text: str) -> tuple[M, dict[str, Any]]:
        """Return the method that `text` names and the parameters that it sets."""
        if text not in self._resolved:
            call = spelling.parse_call(self.canonical(text))
            method = self.get(call.name)
            positional = zip(method.parameters, call.positional, strict=False)
            self._resolved[text] = method, dict(positional, **dict(call.keywords))
        method, arguments = self._resolved[text]
        return method, copy.deepcopy(arguments)

    def forget(self, module: str) -> None:
        """Drop the methods that were defined in a module."""
        self._resolved.clear()
        self._methods = {
            name: method
            for name, method in self._methods.items()
            if method.function.__module__ != module
        }

    def _load(self) -> None:
        if self._package and not self._complete:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._complete = True


def _definition(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def place_of(function: Callable[..., Any]) -> str:
    """Say where a function is defined: the file and its name."""
    name = getattr(function, "__name__", type(function).__name__)
    return f"{_file_of(function)}, function {name}"


def _file_of(function: Callable[..., Any]) -> str:
    module = sys.modules.get(function.__module__)
    return getattr(module, "__file__", None) or "unknown file"
