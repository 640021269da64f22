"""Methods of every kind, their decorators, and the plugins that bring more of them.

A method enters its registry by the decorator that its file uses. Built-in methods are the files of
`benchmark.initializers`, `benchmark.rewirings`, `benchmark.datasets` and `benchmark.recipes`;
others come from installed packages (entry point group `initbench.plugins`) and from the files a
user names. Architectures are timm's, and those that a plugin adds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import linecache
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Strict

from benchmark import declarations, spelling
from benchmark.errors import UsageError
from benchmark.registry import PLUGIN_HASH, Method, Registry

ENTRY_POINTS = "initbench.plugins"

_NAME_IS_TAKEN = r"Overwriting (\S+) in registry"


@dataclass(frozen=True)
class Initializer(Method):
    """Fills the weights of a freshly built network.

    `level` "tensor" gets (weight, layer, generator), "model" gets (model, generator) and, where
    it `needs_data`, the cell's fixed training batch as a third argument; "shape" promises that only
    its shape is looked at, which is no use of data. What a model-level method
    `touches` besides the weights of layers are kinds of `benchmark.ownership`, e.g. ("biases",).
    `variance` is what the squares of a tensor-level method's weights have as their mean: a function
    of the layer and of the method's parameters, by which `initbench check` finds a wrong fan.
    """

    level: Literal["tensor", "model"] = "tensor"
    touches: Annotated[tuple[declarations.Touched, ...], Strict(False)] = ()
    needs_data: bool | Literal["shape"] = False
    needs_labels: bool = False
    deterministic: bool = False
    changes_architecture: bool = False
    changes_learning_rate: bool = False
    variance: Callable[..., float] | None = field(default=None, compare=False)

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


@dataclass(frozen=True)
class NamedRecipe(Method):
    """Returns what of a recipe differs from its defaults, as a dictionary."""


@dataclass(frozen=True)
class Architecture(Method):
    """Builds a network: the function gets `num_classes` and `in_chans` by name.

    `image_size` is the side in pixels that it was made for; a function with a parameter
    `img_size` is told the side of the images. `in_timm` is one that registered itself with timm.
    """

    own_arguments: ClassVar[int] = 2

    image_size: int = 32
    in_timm: bool = False


initializers: Registry[Initializer] = Registry("initializer", "benchmark.initializers")
rewirings: Registry[Rewiring] = Registry("rewiring", "benchmark.rewirings")
datasets: Registry[DataSet] = Registry("data set", "benchmark.datasets")
recipes: Registry[NamedRecipe] = Registry("recipe", "benchmark.recipes")
architectures: Registry[Architecture] = Registry("architecture")

REGISTRIES: tuple[Registry[Any], ...] = (
    initializers,
    rewirings,
    datasets,
    recipes,
    architectures,
)


def _tensor_level(text: str) -> str:
    canonical = initializers.canonical(text)
    if initializers.get(spelling.parse_call(canonical).name).level != "tensor":
        raise UsageError(f"{text!r} fills a whole model; name an initializer that fills a layer")
    return canonical


InitializerName = Annotated[str, AfterValidator(_tensor_level)]
"""The annotation of a parameter that names a tensor-level initializer, `best_of(orthogonal)`."""


def named_initializers(text: str) -> list[Initializer]:
    """Return the initializer that `text` names and, behind it, those that its parameters name."""
    method, arguments = initializers.resolve(text)
    nested = [
        each
        for name, value in arguments.items()
        if method.parameters[name].annotation == InitializerName
        for each in named_initializers(value)
    ]
    return [method, *nested]


Function = TypeVar("Function", bound=Callable[..., Any])


def initializer(
    name: str, *, summary: str, paper: str = "", **declared: Any
) -> Callable[[Function], Function]:
    """Enter the decorated function as an initializer; `declared` are fields of `Initializer`."""

    def enter(function: Function) -> Function:
        declarations.enter(
            initializers, Method(name, function, summary, paper), Initializer, declared
        )
        return function

    return enter


def rewiring(
    name: str, *, summary: str, paper: str = "", **declared: Any
) -> Callable[[Function], Function]:
    """Enter the decorated function as a rewiring; `declared` are the fields of `Rewiring`."""

    def enter(function: Function) -> Function:
        declarations.enter(rewirings, Method(name, function, summary, paper), Rewiring, declared)
        return function

    return enter


def dataset(
    name: str, *, summary: str, source: str, **declared: Any
) -> Callable[[Function], Function]:
    """Enter the decorated function as a data set; `declared` are the fields of `DataSet`."""

    def enter(function: Function) -> Function:
        declarations.enter(datasets, Method(name, function, summary, source), DataSet, declared)
        return function

    return enter


def named_recipe(name: str, *, summary: str, source: str = "") -> Callable[[Function], Function]:
    """Enter the decorated function as a recipe that a config may name."""

    def enter(function: Function) -> Function:
        recipes.add(NamedRecipe(name, function, summary, source))
        return function

    return enter


def architecture(
    name: str, *, summary: str, paper: str = "", image_size: int = 32
) -> Callable[[Function], Function]:
    """Enter the decorated function as an architecture, beside those of timm.

    What a plugin registers by timm's own `register_model` is an architecture without this.
    """

    def enter(function: Function) -> Function:
        architectures.add(Architecture(name, function, summary, paper, image_size))
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
    setattr(module, PLUGIN_HASH, plugin.hash)
    lines = plugin.source.splitlines(True)
    linecache.cache[plugin.path] = (len(plugin.source), None, lines, plugin.path)
    sys.modules[plugin.module] = module
    _loaded[plugin.module] = plugin
    try:
        with warnings.catch_warnings():
            # How timm's registry says that a name is taken, before it gives it to another.
            warnings.filterwarnings("error", _NAME_IS_TAKEN, UserWarning)
            exec(compile(plugin.source, plugin.path, "exec"), module.__dict__)  # noqa: S102
        _enter_timm_models(plugin.module)
    except (Exception, SystemExit) as error:
        _uninstall(plugin.module)
        if isinstance(error, UsageError):
            raise
        if taken := re.match(_NAME_IS_TAKEN, str(error)):
            raise UsageError(
                f"two architectures are called {taken[1]!r}: timm's and that of {plugin.path};"
                " rename yours"
            ) from error
        raise UsageError(
            f"the plugin {plugin.path} failed:\n{plugin_traceback(error, plugin.path)}"
        ) from error


def _uninstall(module: str) -> None:
    for registry in REGISTRIES:
        registry.forget(module)
    if "timm" in sys.modules:
        from benchmark import models

        models.forget(module)
    sys.modules.pop(module, None)
    _loaded.pop(module, None)


def _enter_timm_models(module: str) -> None:
    """Enter what a plugin has registered by timm's decorator."""
    if "timm" not in sys.modules:
        return
    from benchmark import models

    for name, function in models.registered_by(module).items():
        summary = (inspect.getdoc(function) or "").partition("\n")[0]
        architectures.add(Architecture(name, function, summary, in_timm=True))


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
