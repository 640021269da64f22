"""GradInit: scales of parameters for which one step of the optimizer lowers the loss most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch
    from torch import nn


@initializer(
    "gradinit",
    summary="as built, one scale a parameter learnt so that the first step lowers the loss most",
    paper="arXiv:2102.08098",
    level="model",
    touches=("biases", "norms", "embeddings", "scales", "other"),
    needs_data=True,
    needs_labels=True,
)
def gradinit(
    model: nn.Module,
    generator: torch.Generator,
    batch: tuple[torch.Tensor, torch.Tensor],
    iterations: int = 390,
    learning_rate: float = 1e-3,
    eta: float = 0.1,
    gamma: float = 1.0,
    optimizer: str = "sgd",
) -> None:
    """Learn a scale for each parameter by Adam, on thirds A, B and C of the batch.

    With g the gradient of the loss on A and B: if |g| > `gamma` the iteration lowers |g|, else
    it lowers the loss on A and C after the step -`eta` d, divided by eta, where d = g / |g|
    (`optimizer` "sgd", |g| Euclidean) or sign(g) ("adam", |g| the sum of magnitudes), held
    constant. Scales start at 1, weights' stay at least 0.01, biases' at least 0; gradients
    are clipped to [-1, 1]; the two kinds of iteration have Adam moments of their own. Batch norm
    normalises by the batch. The authors take new batches in every iteration and tune the learning
    rate by architecture (1e-3 for ResNet-110 to 0.1 for VGG-19, both with batch norm).
    Raises UsageError for another optimizer or a batch of less than three images. Zhu et al. 2021,
    algorithm 1.
    """
    import torch
    from torch.func import functional_call
    from torch.nn import functional

    from benchmark.propagation import observed

    if optimizer not in ("sgd", "adam"):
        raise UsageError(f"gradinit(optimizer={optimizer}): write optimizer=sgd or optimizer=adam")
    images, labels = batch
    if len(images) < 3:
        raise UsageError(f"gradinit needs a batch of 3 images or more, not {len(images)}")
    shared, first, second = torch.arange(len(images)).tensor_split(3)
    now, after = torch.cat([shared, first]), torch.cat([shared, second])
    base = {name: each.detach().clone() for name, each in model.named_parameters()}
    scales = {name: each.new_ones((), requires_grad=True) for name, each in base.items()}
    moments = {(name, kind): _Adam() for name in base for kind in ("norm", "loss")}

    def loss(parameters: dict[str, torch.Tensor], indices: torch.Tensor) -> torch.Tensor:
        logits = functional_call(model, parameters, (images[indices],))
        return functional.cross_entropy(logits, labels[indices])

    with observed(model):
        for _ in range(iterations):
            scaled = {name: base[name] * scales[name] for name in base}
            gradients = dict(zip(scaled, _gradients(loss(scaled, now), scaled), strict=True))
            norm = _norm(list(gradients.values()), optimizer)
            kind = "norm" if float(norm.detach()) > gamma else "loss"
            objective = norm
            if kind == "loss":
                length = 1 if optimizer == "adam" else norm
                steps = {
                    name: (g.sign() if optimizer == "adam" else g / length).detach()
                    for name, g in gradients.items()
                }
                stepped = {name: scaled[name] - eta * steps[name] for name in scaled}
                objective = loss(stepped, after) / eta
            slopes = torch.autograd.grad(objective, list(scales.values()), allow_unused=True)
            for (name, scale), slope in zip(scales.items(), slopes, strict=True):
                if slope is None or not base[name].any():
                    continue
                step = moments[name, kind].step(max(-1.0, min(1.0, float(slope))))
                lowest = 0.0 if name.endswith("bias") else 0.01
                scale.data.fill_(max(scale.item() - learning_rate * step, lowest))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(base[name] * scales[name])


@dataclass
class _Adam:
    """Adam's moments of one number."""

    count: int = 0
    mean: float = 0.0
    square: float = 0.0

    def step(self, slope: float) -> float:
        """Take a gradient in and return the direction, the step divided by the learning rate."""
        self.count += 1
        self.mean = 0.9 * self.mean + 0.1 * slope
        self.square = 0.999 * self.square + 0.001 * slope**2
        mean = self.mean / (1 - 0.9**self.count)
        return mean / (math.sqrt(self.square / (1 - 0.999**self.count)) + 1e-8)


def _gradients(loss: torch.Tensor, parameters: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    import torch

    return list(
        torch.autograd.grad(
            loss, list(parameters.values()), create_graph=True, materialize_grads=True
        )
    )


def _norm(gradients: list[torch.Tensor], optimizer: str) -> torch.Tensor:
    import torch

    if optimizer == "adam":
        return torch.stack([g.abs().sum() for g in gradients]).sum()
    return torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
