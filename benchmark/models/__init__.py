"""Architectures: timm's registry, to which the files of this package add what timm lacks."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from benchmark import spelling
from benchmark.errors import UsageError, unknown_name
from benchmark.seeds import derive

if TYPE_CHECKING:
    from torch import nn


@cache
def _register_own_models() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def names(pattern: str = "") -> list[str]:
    """Return the architectures in timm's registry that match a pattern with wildcards."""
    import timm

    _register_own_models()
    return list(timm.list_models(pattern))


def expand(text: str) -> list[str]:
    """Return the canonical spellings of the architectures that `text` stands for.

    `text` is a name with arguments of the model, `test_vit(patch_size=4)`, or a pattern with
    wildcards as timm has them. The tag of pretrained weights is dropped: none are ever loaded.
    Raises UsageError for unknown names.
    """
    import timm

    if "(" not in text and set(text) & set("*?["):
        if found := names(text):
            return found
        raise UsageError(f"no architecture matches {text!r}; see 'initbench list architectures'")
    _register_own_models()
    call = spelling.parse_call(text)
    name = call.name.partition(".")[0]
    if not timm.is_model(name):
        hint = "'initbench list architectures' shows all."
        raise UsageError(unknown_name("architecture", name, timm.list_models(), hint))
    if call.positional:
        raise UsageError(f"{text!r}: name the arguments, as in {name}(depth=4)")
    return [str(spelling.Call(name, (), tuple(sorted(call.keywords))))]


def own_image_size(architecture: str) -> int:
    """Return the side in pixels that the architecture was made for."""
    import timm

    _register_own_models()
    config = timm.get_pretrained_cfg(spelling.parse_call(architecture).name)
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

    _register_own_models()
    call = spelling.parse_call(architecture)
    arguments = dict(call.keywords)
    config = timm.get_pretrained_cfg(call.name)
    if config and config.fixed_input_size:
        arguments.setdefault("img_size", image_size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "build"))
        try:
            return timm.create_model(
                call.name, pretrained=False, in_chans=channels, num_classes=classes, **arguments
            )
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UsageError(
                f"cannot build {architecture} for {channels} x {image_size} x {image_size} images"
                f" and {classes} classes: {str(error) or type(error).__name__}"
            ) from error
