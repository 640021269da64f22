"""What an initializer may change: the weights of layers, and what else it says that it touches."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import nn

from benchmark.declarations import Touched as Kind
from benchmark.errors import UsageError
from benchmark.layers import Layer

_EMBEDDINGS = ("embed", "token", "rel_pos", "relative_position", "latent", "pos_emb")
_SCALES = {"gamma", "gain", "scale", "skipinit_gain", "layer_scale", "alpha", "weight_scale"}


def kinds(model: nn.Module, layers: Collection[Layer]) -> dict[str, Kind]:
    """Return the kind of each parameter and buffer of a model that is no layer's weight.

    `biases` are those of layers, `norms` the parameters of normalisation modules, `embeddings`
    tables, positions and tokens, `scales` the factors of residual branches and channels, `other`
    any other parameter, `buffers` what is no parameter.
    """
    weights = {layer.parameter for layer in layers}
    biases = {layer.bias for layer in layers}
    found: dict[str, Kind] = {}
    for name, _ in model.named_parameters():
        if name in weights:
            continue
        path, _, last = name.rpartition(".")
        module = model.get_submodule(path)
        if name in biases:
            found[name] = "biases"
        elif "norm" in type(module).__name__.lower():
            found[name] = "norms"
        elif isinstance(module, nn.RNNBase):
            # Before names are asked: those of Sequencer2D mix "tokens".
            found[name] = "other"
        elif isinstance(module, nn.Embedding) or any(word in name for word in _EMBEDDINGS):
            found[name] = "embeddings"
        elif last in _SCALES or type(module).__name__.startswith("LayerScale"):
            found[name] = "scales"
        else:
            found[name] = "other"
    return found | {name: "buffers" for name, _ in model.named_buffers()}


def untreated(
    model: nn.Module, layers: Collection[Layer], touches: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the weights that stay as built, though they have two axes or more: no layer's.

    Those of `nn.LSTM` or of CondConv's experts, for instance. No initializer is given them but one
    that `touches` "other", and no rewiring.
    """
    if "other" in touches:
        return ()
    parameters = dict(model.named_parameters())
    return tuple(
        name
        for name, kind in kinds(model, layers).items()
        if kind == "other"
        and sum(size > 1 for size in parameters[name].shape) > 1
        and "bias" not in name.rpartition(".")[2]
    )


@dataclass(frozen=True)
class Snapshot:
    """What a model was before an initializer: the values it may not change, and its make-up."""

    values: dict[str, tuple[Kind, torch.Tensor]]
    makeup: dict[str, tuple[object, ...]]
    training: dict[str, bool]

    @classmethod
    def of(cls, model: nn.Module, layers: Collection[Layer], touches: Collection[str]) -> Snapshot:
        """Keep what a method that `touches` these kinds must leave alone."""
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        values = {
            name: (kind, tensors[name].detach().clone())
            for name, kind in kinds(model, layers).items()
            if kind not in touches
        }
        return cls(values, _makeup(model), {name: m.training for name, m in model.named_modules()})

    def check(self, model: nn.Module, initializer: str, *, rebuilt: bool) -> None:
        """Raise UsageError where the method changed what it did not own, or left NaN or infinity.

        `rebuilt` models may have other parameters than before; what is left of the old ones must
        still be as it was.
        """
        makeup = _makeup(model)
        for name, before in self.makeup.items():
            after = makeup.get(name)
            unchanged = after is None or after[:3] == before[:3] if rebuilt else after == before
            if not unchanged:
                raise UsageError(
                    f"initializer {initializer!r} made another parameter of {name}: requires_grad,"
                    " dtype, device, shape and the tensor itself must stay"
                )
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for name, (kind, value) in self.values.items():
            if name in tensors and not _same(value, tensors[name]):
                raise UsageError(
                    f"initializer {initializer!r} changed {name}; if it is meant to, it declares"
                    f' touches=("{kind}",)'
                )
        if not rebuilt and (added := sorted(set(makeup) - set(self.makeup))):
            raise UsageError(
                f"initializer {initializer!r} added {added[0]}; if it is meant to, it declares"
                " changes_architecture=True"
            )
        for name, parameter in model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise UsageError(f"initializer {initializer!r} left non-finite weights in {name}")
        for name, module in model.named_modules():
            if module.training != self.training.get(name, module.training):
                raise UsageError(
                    f"initializer {initializer!r} left {name or 'the model'} in another mode"
                    " (train or eval) than it found it in"
                )


def _makeup(model: nn.Module) -> dict[str, tuple[object, ...]]:
    return {
        name: (p.requires_grad, p.dtype, p.device, tuple(p.shape), id(p))
        for name, p in model.named_parameters()
    }


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Compare two tensors; NaN equals NaN, so that what was broken before is not blamed."""
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    return bool(torch.allclose(one, other.detach(), rtol=0.0, atol=0.0, equal_nan=True))
