"""What a batch does in an untrained model: activations and gradients through its depth."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.layers import describe
from benchmark.propagation import observed
from benchmark.training.network import mean_losses

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

IMAGES = 64
"""So many images of a batch are looked at."""

_JACOBIAN_IMAGES = 4
_MOST_LOGITS = 32

_ROUNDING = 8 * torch.finfo(torch.float32).eps
"""A singular value of a Jacobian in float32 that is no more than this share of the largest is its
rounding, where none should be."""


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
    where a singular value is 0, but for rounding, or the logits are too many to ask.
    """

    layers: tuple[LayerSignal, ...]
    loss: float
    isometry_distance: float


@dataclass(frozen=True)
class Output:
    """What a layer gives, or the gradient in it: of all replicas, along `dim`, or of one network.

    `dim` is None where there is but one.
    """

    tensor: torch.Tensor
    dim: int | None = None

    def of_each(self) -> torch.Tensor:
        """Return it with the replicas in front, [replicas, ...], in float32 at least."""
        front = self.tensor.unsqueeze(0) if self.dim is None else self.tensor.movedim(self.dim, 0)
        return front.detach().float() if front.element_size() < 4 else front.detach()


class Networks(Protocol):
    """One network, or several of one form whose modules are called once for all: replicas."""

    @property
    def model(self) -> nn.Module:
        """The one whose modules are called."""

    def logits(self, images: torch.Tensor, each: bool = False) -> torch.Tensor:
        """Return [replicas, images, classes]; `images` are [replicas, images, ...] if for each."""

    def tap(self, output: torch.Tensor) -> tuple[Output, torch.Tensor]:
        """Return what a module gave, and a copy of it with which the pass goes on."""


@dataclass(frozen=True)
class Alone:
    """A network by itself."""

    model: nn.Module

    def logits(self, images: torch.Tensor, each: bool = False) -> torch.Tensor:
        logits: torch.Tensor = self.model(images[0] if each else images)
        return logits.unsqueeze(0)

    def tap(self, output: torch.Tensor) -> tuple[Output, torch.Tensor]:
        return Output(output), output.clone()


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
    if names is None:
        names = [layer.name for layer, _ in describe(model)]
    trained: dict[str, torch.Tensor] = {}
    if complete:
        trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    weights = {
        name: Output(trained[f"{name}.weight"]) for name in names if f"{name}.weight" in trained
    }
    (found,) = signals_of_each(Alone(model), images, labels, names, weights, every_rank=complete)
    return found


def signals_of_each(
    networks: Networks,
    images: torch.Tensor,
    labels: torch.Tensor,
    names: Sequence[str],
    weights: Mapping[str, Output] = MappingProxyType({}),
    *,
    every_rank: bool = False,
) -> list[Signals]:
    """As `signals`, of every replica of `networks`.

    Only of the `weights`, by name of their layer, there is a weight_gradient, and only with
    `every_rank` another effective_rank than that of the last layer before the logits.
    """
    images, labels = images[:IMAGES], labels[:IMAGES]
    outputs: dict[str, Output] = {}
    with observed(networks.model), torch.enable_grad(), _outputs_kept(networks, names, outputs):
        logits = networks.logits(images).float()
        losses = mean_losses(logits, labels)
        passed = {name: weight for name, weight in weights.items() if name in outputs}
        found = _layer_signals(losses, outputs, passed, every_rank)
        outputs.clear()
        chosen = images[:_JACOBIAN_IMAGES].detach()
        distances = _isometry_distances(networks, chosen.expand(len(logits), *chosen.shape))
    return [Signals(*each) for each in zip(found, losses.detach().tolist(), distances, strict=True)]


def _layer_signals(
    losses: torch.Tensor,
    outputs: Mapping[str, Output],
    weights: Mapping[str, Output],
    every_rank: bool,
) -> list[tuple[LayerSignal, ...]]:
    """Return the layers of every replica; losses are [replicas], summed to go back for all."""
    wanted = [*outputs.values(), *weights.values()]
    gradients = torch.autograd.grad(
        losses.sum(), [each.tensor for each in wanted], allow_unused=True
    )
    norms = _to_lists([_norms(*each, len(losses)) for each in zip(wanted, gradients, strict=True)])
    of_outputs, of_weights = norms[: len(outputs)], norms[len(outputs) :]
    moments = [_moments(each.of_each()) for each in outputs.values()]
    means, variances = (_to_lists(list(each)) for each in zip(*moments, strict=True))
    ranked = outputs if every_rank else list(outputs)[-2:-1]
    ranks = {name: [_effective_rank(one) for one in outputs[name].of_each()] for name in ranked}
    by_weight = dict(zip(weights, of_weights, strict=True))
    nothing = [math.nan] * len(losses)
    layers = [
        (
            name,
            means[place],
            variances[place],
            ranks.get(name, nothing),
            [norm / math.sqrt(size / len(losses)) for norm in of_outputs[place]],
            by_weight.get(name, nothing),
        )
        for place, (name, size) in enumerate((n, o.tensor.numel()) for n, o in outputs.items())
    ]
    return [
        tuple(LayerSignal(name, *(values[replica] for values in lists)) for name, *lists in layers)
        for replica in range(len(losses))
    ]


def _moments(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the means and variances [replicas] of values [replicas, ...]: in two fast passes."""
    inner = tuple(range(1, values.ndim))
    means = values.mean(inner, keepdim=True)
    return means.flatten(), (values - means).square_().mean(inner)


def _norms(like: Output, gradient: torch.Tensor | None, replicas: int) -> torch.Tensor:
    """Return the norms [replicas] of a gradient in float64, where small ones do not vanish."""
    if gradient is None:
        return torch.full((replicas,), math.nan, dtype=torch.float64, device=like.tensor.device)
    values = Output(gradient, like.dim).of_each()
    return torch.linalg.vector_norm(values, dim=tuple(range(1, values.ndim)), dtype=torch.float64)


def _to_lists(of_layers: list[torch.Tensor]) -> list[list[float]]:
    """Bring tensors [replicas] to the CPU at once: each by itself would wait for the device."""
    lists: list[list[float]] = torch.stack(of_layers).tolist() if of_layers else []
    return lists


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


def _isometry_distances(networks: Networks, images: torch.Tensor) -> list[float]:
    """Return that of every replica by its own images [replicas, images, ...]."""
    images = images.clone().requires_grad_(True)
    logits = networks.logits(images, each=True).float()
    if logits.shape[-1] > _MOST_LOGITS:
        return [math.nan] * len(logits)
    jacobians = _jacobians(logits, images).double()
    finite = torch.isfinite(jacobians).flatten(1).all(1)
    singular = torch.linalg.svdvals(jacobians[finite]).flatten(1).numpy(force=True)
    distances = iter(_distance(values) for values in singular)
    return [next(distances) if known else math.nan for known in finite.tolist()]


def _distance(singular: NDArray[np.float64]) -> float:
    if singular.min() <= _ROUNDING * singular.max():
        return math.nan
    return float(np.sqrt(np.mean(np.log(singular) ** 2)))


def _jacobians(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the Jacobians [replicas, images, classes, pixels]: all classes go back at once."""
    classes = logits.shape[-1]
    chosen = torch.eye(classes, device=logits.device).view(classes, 1, 1, classes)
    chosen = chosen.expand(-1, *logits.shape)
    try:
        (rows,) = torch.autograd.grad(
            logits, images, chosen, retain_graph=True, is_grads_batched=True
        )
    except RuntimeError:
        # An operation of its own kind may know no way back for several gradients at a time.
        each = [torch.autograd.grad(logits, images, one, retain_graph=True)[0] for one in chosen]
        rows = torch.stack(each)
    return rows.movedim(0, 2).flatten(3)


@contextlib.contextmanager
def _outputs_kept(
    networks: Networks, names: Sequence[str], outputs: dict[str, Output]
) -> Iterator[None]:
    """Collect what the named modules give at their first call, in the order of the calls."""

    def keep(name: str) -> RemovableHandle:
        def hook(module: nn.Module, inputs: object, output: Any) -> torch.Tensor | None:
            if name in outputs or not isinstance(output, torch.Tensor):
                return None
            kept, onward = networks.tap(output)
            if not kept.tensor.requires_grad:
                return None
            outputs[name] = kept
            # What comes behind works on a copy: it may write into what it is given.
            return onward

        return modules[name].register_forward_hook(hook)

    modules = dict(networks.model.named_modules())
    handles = [keep(name) for name in names if name in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
