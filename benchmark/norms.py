"""Normalisation layers: which modules are some, and what stays where one is taken out."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from benchmark.errors import UsageError

_TORCH_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
_PLAIN = ("timm.layers.norm", "timm.layers.norm_act")
# Norms that are one with their activation, or whose scale is part of what the block computes.
_FUSED = ("timm.layers.evo_norm", "timm.layers.filter_response_norm", "timm.layers.grn")


def is_norm(module: nn.Module) -> bool:
    """Say whether a module is one of torch's or timm's normalisation layers."""
    return isinstance(module, _TORCH_NORMS) or _defined_in(module, _PLAIN + _FUSED)


def norms(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the qualified name and the module of every normalisation layer."""
    for name, module in model.named_modules():
        if is_norm(module):
            yield name, module


def remove_norms(model: nn.Module) -> None:
    """Replace every normalisation layer by the identity, or by the activation that it includes.

    Raises UsageError, and changes nothing, if one cannot be told from its activation.
    """
    found = list(norms(model))
    for name, module in found:
        if _defined_in(module, _FUSED):
            raise UsageError(
                f"{name} is a {type(module).__name__}, whose normalisation cannot be taken out"
                " without the activation"
            )
    for name, module in found:
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, _rest(module).train(module.training))


def _rest(norm: nn.Module) -> nn.Module:
    if hasattr(norm, "act"):
        return nn.Sequential(getattr(norm, "drop", nn.Identity()), norm.get_submodule("act"))
    return nn.Identity()


def _defined_in(module: nn.Module, sources: tuple[str, ...]) -> bool:
    return any(base.__module__ in sources for base in type(module).__mro__)
