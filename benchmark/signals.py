"""What a batch does in an untrained model: activations and gradients through its depth."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmark.layers import describe
from benchmark.propagation import observed

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

IMAGES = 64
"""So many images of a batch are looked at."""

_JACOBIAN_IMAGES = 4
_MOST_LOGITS = 32


@dataclass(frozen=True)
class LayerSignal:
    """The outputs of one Conv or Linear layer for a batch, before its norm and activation.

    `mean` and `variance` over everything, `effective_rank` the exponential of the entropy of the
    normalised singular values of [images, features] (Roy and Vetterli 2007), as a share of its
    greatest possible value; `output_gradient` is the root mean square of the loss's gradient in
    the outputs, `weight_gradient` its Frobenius norm in the weights. NaN is what does not exist or
    was not asked for.
    """

    name: str
    mean: float
    variance: float
    effective_rank: float
    output_gradient: float
    weight_gradient: float


@dataclass(frozen=True)
class Signals:
    """A model's layers in the order in which a batch passes them.

    `isometry_distance` is the root mean square of the natural logarithm of the singular values of
    the logits' Jacobian in the pixels, 0 for a dynamical isometry (Pennington et al. 2017); NaN
    where a singular value is 0 or the logits are too many to ask.
    """

    layers: tuple[LayerSignal, ...]
    loss: float
    isometry_distance: float


def signals(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    names: Sequence[str] | None = None,
    *,
    complete: bool = True,
) -> Signals:
    """Send the first IMAGES of a batch forth and back through a model and leave it as it was.

    Batch norm uses the batch's statistics, as in training; dropout and stochastic depth are off.
    Neither weights, gradients, buffers, modes nor random state change. `names` are those of the
    model's layers, where they are known. Unless `complete`, the two quantities that take longest
    are left out: every weight_gradient, and each effective_rank but that of the last layer before
    the logits.
    """
    images, labels = images[:IMAGES], labels[:IMAGES]
    if names is None:
        names = [layer.name for layer, _ in describe(model)]
    outputs: dict[str, torch.Tensor] = {}
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    with observed(model), torch.enable_grad(), _outputs_kept(model, names, outputs):
        logits = model(images).float()
        loss = functional.cross_entropy(logits, labels)
        found = _signals_of(model, loss, outputs, trained if complete else frozenset(), complete)
        outputs.clear()
        distance = _isometry_distance(model, images[:_JACOBIAN_IMAGES])
    return Signals(found, float(loss.detach()), distance)


def _signals_of(
    model: nn.Module,
    loss: torch.Tensor,
    outputs: dict[str, torch.Tensor],
    trained: Collection[str],
    every_rank: bool,
) -> tuple[LayerSignal, ...]:
    weights = {
        name: model.get_parameter(f"{name}.weight")
        for name in outputs
        if f"{name}.weight" in trained
    }
    wanted = [*outputs.values(), *weights.values()]
    gradients = iter(torch.autograd.grad(loss, wanted, allow_unused=True))
    of_outputs = {name: next(gradients) for name in outputs}
    of_weights = {name: next(gradients) for name in weights}
    ranked = outputs if every_rank else list(outputs)[-2:-1]
    return tuple(
        LayerSignal(
            name=name,
            mean=float(values.mean()),
            variance=float(values.var(correction=0)),
            effective_rank=_effective_rank(values) if name in ranked else math.nan,
            output_gradient=_norm(of_outputs[name], mean=True),
            weight_gradient=_norm(of_weights.get(name), mean=False),
        )
        for name, values in ((name, kept.detach().float()) for name, kept in outputs.items())
    )


def _norm(gradient: torch.Tensor | None, mean: bool) -> float:
    if gradient is None:
        return float("nan")
    squares = float(gradient.double().square().sum())
    return math.sqrt(squares / gradient.numel() if mean else squares)


def _effective_rank(values: torch.Tensor) -> float:
    matrix = values.reshape(len(values), -1).double()
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    if not torch.isfinite(gram).all():
        return float("nan")
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    total = singular.sum()
    if total == 0:
        return 0.0
    shares = singular / total
    return float(torch.special.entr(shares).sum().exp()) / len(singular)


def _isometry_distance(model: nn.Module, images: torch.Tensor) -> float:
    images = images.detach().clone().requires_grad_(True)
    logits = model(images).float()
    if logits.shape[1] > _MOST_LOGITS:
        return float("nan")
    jacobians = _jacobians(logits, images).double()
    if not torch.isfinite(jacobians).all():
        return float("nan")
    singular = torch.linalg.svdvals(jacobians).numpy(force=True)
    if singular.min() <= 1e-12 * singular.max():
        return float("nan")
    return float(np.sqrt(np.mean(np.log(singular) ** 2)))


def _jacobians(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return each image's Jacobian [images, classes, pixels]: all classes go back at once."""
    count, classes = logits.shape
    chosen = torch.eye(classes, device=logits.device).unsqueeze(1).expand(-1, count, -1)
    try:
        (rows,) = torch.autograd.grad(
            logits, images, chosen, retain_graph=True, is_grads_batched=True
        )
    except RuntimeError:
        # An operation of its own kind may know no way back for several gradients at a time.
        each = [torch.autograd.grad(logits, images, one, retain_graph=True)[0] for one in chosen]
        rows = torch.stack(each)
    return rows.transpose(0, 1).flatten(2)


@contextlib.contextmanager
def _outputs_kept(
    model: nn.Module, names: Sequence[str], outputs: dict[str, torch.Tensor]
) -> Iterator[None]:
    """Collect what the named modules give at their first call, in the order of the calls."""

    def keep(name: str) -> RemovableHandle:
        def hook(module: nn.Module, inputs: object, output: Any) -> torch.Tensor | None:
            if name in outputs or not isinstance(output, torch.Tensor) or not output.requires_grad:
                return None
            outputs[name] = output
            # What comes behind works on a copy: it may write into what it is given.
            return output.clone()

        return modules[name].register_forward_hook(hook)

    modules = dict(model.named_modules())
    handles = [keep(name) for name in names if name in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
