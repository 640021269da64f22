"""Architectures: timm's registry, to which the files of this package add what timm lacks."""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Hashable
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmark import spelling, timm_cache
from benchmark.errors import UsageError, unknown_name
from benchmark.plugins import Architecture, architectures
from benchmark.seeds import derive

if TYPE_CHECKING:
    from torch import nn

_BUILT_AS = "_initbench_built_as"


@cache
def import_own_models() -> None:
    """Enter the models of this package into timm's registry."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def _complete_registry() -> None:
    """Enter into timm's registry the models of this package and those of plugins.

    Raises UsageError where timm has another model of a plugin's name.
    """
    import timm

    import_own_models()
    for method in architectures.all():
        if not timm.is_model(method.name):
            timm.models.register_model(_entry_point(method))
        elif timm.model_entrypoint(method.name).__module__ != method.function.__module__:
            raise UsageError(
                f"two architectures are called {method.name!r}: timm's and that of"
                f" {method.origin}; rename yours"
            )


def _entry_point(method: Architecture) -> Callable[..., nn.Module]:
    """Return what timm calls: without what concerns pretrained weights."""

    def build_without_weights(
        pretrained: bool = False,
        pretrained_cfg: object = None,
        pretrained_cfg_overlay: object = None,
        cache_dir: object = None,
        **arguments: Any,
    ) -> nn.Module:
        return method.function(**arguments)

    build_without_weights.__name__ = method.name
    build_without_weights.__module__ = method.function.__module__
    return build_without_weights


def registered_by(module: str) -> dict[str, Callable[..., nn.Module]]:
    """Return the models that a module has registered with timm, by name."""
    from timm.models import _registry

    entries: dict[str, Callable[..., Any]] = _registry._model_entrypoints
    return {name: build for name, build in entries.items() if build.__module__ == module}


def forget(module: str) -> None:
    """Drop from timm's registry the models that a module has registered."""
    from timm.models import _registry

    for name in registered_by(module):
        _registry._model_entrypoints.pop(name)
        _registry._module_to_models[_registry._model_to_module.pop(name)].discard(name)
        for full in [name, *_registry._model_with_tags.pop(name, [])]:
            _registry._model_pretrained_cfgs.pop(full, None)
        _registry._model_default_cfgs.pop(name, None)


def names(pattern: str = "") -> list[str]:
    """Return the architectures that match a pattern with wildcards, in timm's order.

    Imports timm only if what it holds is not known from an earlier import.
    """
    known = _known()
    return sorted(fnmatch.filter(known, pattern) if pattern else known, key=_natural_key)


def _known() -> Collection[str]:
    """Return the names of timm's models, of this package's and of plugins'."""
    kept, added = timm_cache.architectures(), [method.name for method in architectures.all()]
    if kept is not None and not set(kept) & set(added):
        return [*kept, *added]
    import timm

    _complete_registry()
    return list(timm.list_models())


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sort as timm does: numbers by their value."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def expand(text: str) -> list[str]:
    """Return the canonical spellings of the architectures that `text` stands for.

    `text` is a name with arguments of the model, `test_vit(patch_size=4)`, or a pattern with
    wildcards as timm has them. The tag of pretrained weights is dropped: none are ever loaded.
    Raises UsageError for unknown names.
    """
    if "(" not in text and set(text) & set("*?["):
        if found := names(text):
            return found
        raise UsageError(f"no architecture matches {text!r}; see 'initbench list architectures'")
    call = spelling.parse_call(text)
    name = call.name.partition(".")[0]
    if name not in _known():
        # Models that timm calls deprecated are there, too, but not listed.
        import timm

        _complete_registry()
        if not timm.is_model(name):
            hint = "'initbench list architectures' shows all."
            raise UsageError(unknown_name("architecture", name, timm.list_models(), hint))
    if call.positional:
        raise UsageError(f"{text!r}: name the arguments, as in {name}(depth=4)")
    return [str(spelling.Call(name, (), tuple(sorted(call.keywords))))]


def own_image_size(architecture: str) -> int:
    """Return the side in pixels that the architecture was made for."""
    import timm

    _complete_registry()
    name = spelling.parse_call(architecture).name
    if (plugin := architectures.find(name)) and not plugin.in_timm:
        return plugin.image_size
    config = timm.get_pretrained_cfg(name)
    return int(config.input_size[-1]) if config else 224


def build(
    architecture: str, *, channels: int, classes: int, image_size: int, seed: int
) -> nn.Module:
    """Build an architecture without pretrained weights; the same seed gives the same bytes.

    The constructor draws from torch's global generator: it is seeded for the call from the axis
    "build" and put back afterwards. Raises UsageError for arguments that the model does not take.
    """
    import timm
    import torch

    from benchmark.training.device import is_out_of_memory

    _complete_registry()
    call = spelling.parse_call(architecture)
    arguments = dict(call.keywords)
    config = timm.get_pretrained_cfg(call.name)
    plugin = architectures.find(call.name)
    takes_size = plugin and "img_size" in inspect.signature(plugin.function).parameters
    if takes_size or (config and config.fixed_input_size):
        arguments.setdefault("img_size", image_size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "build"))
        try:
            model = timm.create_model(
                call.name, pretrained=False, in_chans=channels, num_classes=classes, **arguments
            )
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UsageError(
                f"cannot build {architecture} for {channels} x {image_size} x {image_size} images"
                f" and {classes} classes: {str(error) or type(error).__name__}"
            ) from error
    # A plugin may draw how its layers are wired from the seed.
    own = seed if any(call.name == method.name for method in architectures.all()) else None
    setattr(model, _BUILT_AS, (str(call), channels, classes, image_size, own))
    return model


def built_as(model: nn.Module) -> tuple[Hashable, ...] | None:
    """Return what two models have in common only if `build` made them alike; None for others."""
    made = getattr(model, _BUILT_AS, None)
    if made is None:
        return None
    modules = tuple((name, type(module)) for name, module in model.named_modules())
    weights = tuple((name, each.shape) for name, each in model.named_parameters())
    return *made, modules, weights


def rebuilt(model: nn.Module) -> None:
    """Note that a model is about to become another one than `build` has made."""
    if hasattr(model, _BUILT_AS):
        delattr(model, _BUILT_AS)
