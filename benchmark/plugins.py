"""Registries of initializers, rewirings and data sets: built in, from packages, from files.

A method enters its registry by the decorator that its file uses. Built-in methods are the files of
`benchmark.initializers`, `benchmark.rewirings` and `benchmark.datasets`; others come from installed
packages (entry point group `initbench.plugins`) and from the files a user names.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import linecache
import pkgutil
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import AfterValidator

from benchmark import spelling
from benchmark.errors import UsageError, unknown_name

ENTRY_POINTS = "initbench.plugins"


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
        plugin = _loaded.get(self.function.__module__)
        return plugin.hash if plugin else None


@dataclass(frozen=True)
class Initializer(Method):
    """Fills the weights of a freshly built network.

    `level` "tensor" gets (weight, layer, generator), "model" gets (model, generator) and, where
    it `needs_data`, the cell's fixed training batch as a third argument. What a model-level method
    `touches` besides the weights of layers are kinds of `benchmark.ownership`, e.g. ("biases",).
    """

    level: Literal["tensor", "model"] = "tensor"
    touches: tuple[str, ...] = ()
    needs_data: bool = False
    needs_labels: bool = False
    deterministic: bool = False
    changes_architecture: bool = False
    changes_learning_rate: bool = False

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        own = 3 if self.level == "tensor" or self.needs_data else 2
        return spelling.keyword_parameters(self.function, own)


@dataclass(frozen=True)
class Rewiring(Method):
    """Permutes or re-draws a layer's matrix [out, in] in place, given a numpy Generator.

    `permutes` promises that the multiset of values stays, which every run checks; `reference` is
    the bit-exact twin of a fast implementation, if there is one.
    """

    own_arguments: ClassVar[int] = 2

    permutes: bool = False
    deterministic: bool = False
    reference: Callable[..., Any] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class DataSet(Method):
    """Loads a data set: the function gets the data folder (or None) and returns `Images`.

    What it declares of its shape (None where that depends on the user's files) lets a grid be
    planned and tried before the data are there.
    """

    own_arguments: ClassVar[int] = 1

    classes: int | None = None
    channels: int | None = None
    train_size: int | None = None
    test_size: int | None = None


M = TypeVar("M", bound=Method)


class Registry(Generic[M]):
    """The methods of one kind by name; built-in files are imported at the first look."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._methods: dict[str, M] = {}
        self._complete = False

    def add(self, method: M) -> None:
        """Enter a method.

        Raises UsageError where another function already has the name.
        """
        if not spelling._NAME.fullmatch(method.name):
            raise UsageError(f"{self.kind} name {method.name!r} is not a plain name")
        known = self._methods.get(method.name)
        if known and known.function.__module__ != method.function.__module__:
            raise UsageError(
                f"two methods call themselves {self.kind} {method.name!r}: "
                f"{_origin(known)} and {_origin(method)}; rename one"
            )
        self._methods[method.name] = method

    def get(self, name: str) -> M:
        """Return the method called `name`; raises UsageError with the nearest names."""
        self._load()
        if name not in self._methods:
            plural = self.kind.replace(" ", "") + "s"
            hint = f"'initbench list {plural}' shows all."
            raise UsageError(unknown_name(self.kind, name, self._methods, hint))
        return self._methods[name]

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
        call = spelling.parse_call(self.canonical(text))
        method = self.get(call.name)
        return method, dict(
            zip(method.parameters, call.positional, strict=False), **dict(call.keywords)
        )

    def named(self, text: str) -> list[M]:
        """Return the method that `text` names and, behind it, those that its parameters name."""
        method, arguments = self.resolve(text)
        nested = [
            each
            for name, value in arguments.items()
            if method.parameters[name].annotation == InitializerName
            for each in self.named(value)
        ]
        return [method, *nested]

    def forget(self, module: str) -> None:
        """Drop the methods that were defined in a module."""
        self._methods = {
            name: method
            for name, method in self._methods.items()
            if method.function.__module__ != module
        }

    def _load(self) -> None:
        if not self._complete:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._complete = True


initializers: Registry[Initializer] = Registry("initializer", "benchmark.initializers")
rewirings: Registry[Rewiring] = Registry("rewiring", "benchmark.rewirings")
datasets: Registry[DataSet] = Registry("data set", "benchmark.datasets")


def _tensor_level(text: str) -> str:
    canonical = initializers.canonical(text)
    if initializers.get(spelling.parse_call(canonical).name).level != "tensor":
        raise UsageError(f"{text!r} fills a whole model; name an initializer that fills a layer")
    return canonical


InitializerName = Annotated[str, AfterValidator(_tensor_level)]
"""The annotation of a parameter that names a tensor-level initializer, `best_of(orthogonal)`."""

Function = TypeVar("Function", bound=Callable[..., Any])


def initializer(
    name: str, *, summary: str, paper: str = "", **declared: Any
) -> Callable[[Function], Function]:
    """Enter the decorated function as an initializer; `declared` are fields of `Initializer`."""

    def enter(function: Function) -> Function:
        initializers.add(Initializer(name, function, summary, paper, **declared))
        return function

    return enter


def rewiring(
    name: str, *, summary: str, paper: str = "", **declared: Any
) -> Callable[[Function], Function]:
    """Enter the decorated function as a rewiring; `declared` are the fields of `Rewiring`."""

    def enter(function: Function) -> Function:
        rewirings.add(Rewiring(name, function, summary, paper, **declared))
        return function

    return enter


def dataset(
    name: str, *, summary: str, source: str, **declared: Any
) -> Callable[[Function], Function]:
    """Enter the decorated function as a data set; `declared` are the fields of `DataSet`."""

    def enter(function: Function) -> Function:
        datasets.add(DataSet(name, function, summary, source, **declared))
        return function

    return enter


@dataclass(frozen=True)
class Plugin:
    """The source of a plugin file: what travels to the workers, and what is hashed."""

    module: str
    source: str
    path: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]


_loaded: dict[str, Plugin] = {}


def find_plugin(file_or_module: str) -> Plugin:
    """Read the plugin at a path or of an importable module, without running it.

    Raises UsageError where there is none.
    """
    path = Path(file_or_module)
    # Files of one name in different folders are different modules.
    folder = hashlib.sha256(str(path.resolve().parent).encode()).hexdigest()[:8]
    name = f"initbench_plugin_{path.stem}_{folder}"
    if path.suffix != ".py":
        path, name = _module_path(file_or_module), file_or_module
    try:
        return Plugin(name, path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UsageError(f"cannot read the plugin {file_or_module!r}: {reason}") from error


def _module_path(name: str) -> Path:
    try:
        spec = importlib.util.find_spec(name) if "/" not in name else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise UsageError(f"no plugin {name!r}: neither a .py file nor an importable module")
    if spec.submodule_search_locations is not None:
        raise UsageError(
            f"the plugin {name!r} is a package, and one file is one plugin: name the module"
            f" that holds the methods, as in {name}.my_methods"
        )
    return Path(spec.origin)


def install_plugin(plugin: Plugin) -> None:
    """Run a plugin's source as a module, so that its decorators enter its methods.

    The same call serves the driver and every worker: no file is needed there.
    Raises UsageError with the plugin's own traceback where it fails.
    """
    if _loaded.get(plugin.module) == plugin:
        return
    _uninstall(plugin.module)
    module = types.ModuleType(plugin.module)
    module.__file__ = plugin.path
    lines = plugin.source.splitlines(True)
    linecache.cache[plugin.path] = (len(plugin.source), None, lines, plugin.path)
    sys.modules[plugin.module] = module
    _loaded[plugin.module] = plugin
    try:
        exec(compile(plugin.source, plugin.path, "exec"), module.__dict__)  # noqa: S102
    except Exception as error:
        _uninstall(plugin.module)
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"the plugin {plugin.path} failed:\n{plugin_traceback(error, plugin.path)}"
        ) from error


def _uninstall(module: str) -> None:
    for registry in (initializers, rewirings, datasets):
        registry.forget(module)
    sys.modules.pop(module, None)
    _loaded.pop(module, None)


def plugin_traceback(error: BaseException, path: str) -> str:
    """Return the traceback of `error` cut to the frames of the file at `path`."""
    import traceback

    summary = traceback.TracebackException.from_exception(error)
    own = [frame for frame in summary.stack if frame.filename == path]
    if own:
        summary.stack = traceback.StackSummary.from_list(own)
    return "".join(summary.format(chain=False)).rstrip()


def load_plugins(files_or_modules: Iterable[str] = ()) -> None:
    """Install the plugins of installed packages and the named ones."""
    from importlib.metadata import entry_points

    entries = entry_points(group=ENTRY_POINTS)
    names = [entry.value.partition(":")[0] for entry in entries] + list(files_or_modules)
    for name in dict.fromkeys(names):
        install_plugin(find_plugin(name))


def installed_plugins() -> list[Plugin]:
    """Return every plugin that has been installed in this process."""
    return list(_loaded.values())


def _origin(method: Method) -> str:
    return getattr(sys.modules.get(method.function.__module__), "__file__", None) or "unknown file"
