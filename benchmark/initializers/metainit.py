"""MetaInit: norms of weights for which the gradient changes little along itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.plugins import initializer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn


@initializer(
    "metainit",
    summary="as built, norms of weights learnt to minimise the gradient quotient on random inputs",
    paper="https://papers.nips.cc/paper/9427-metainit-initializing-learning-by-learning-to-initialize",
    level="model",
    needs_data="shape",
)
def metainit(
    model: nn.Module,
    generator: torch.Generator,
    batch: tuple[torch.Tensor, torch.Tensor],
    steps: int = 500,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
) -> None:
    """Minimise the gradient quotient over the norm of each weight by sign descent with momentum.

    Only the shape of the batch is looked at: in each step inputs are drawn anew from N(0, 1) and
    labels uniformly from the classes. GQ is `gradient_quotient` of the cross entropy over all
    parameters; the norm of each Conv and Linear weight moves by the velocity v = momentum v -
    `learning_rate` sign(dGQ/dnorm), and stays positive. The direction of every weight is that of
    the constructor. Batch norm normalises by the batch. Defaults are those of the paper's code,
    which takes GQ with batch norm at its running statistics instead. Raises UsageError for
    weight-standardised layers. Dauphin and Schoenholz 2019.
    """
    import torch
    from torch.nn import functional

    from benchmark.layers import describe
    from benchmark.propagation import observed

    layers = describe(model)
    if fixed := [layer.name for layer, _ in layers if layer.standardised]:
        raise UsageError(
            f"metainit learns norms, and {fixed[0]} is weight-standardised: its norm has no effect"
        )
    images, labels = batch
    parameters = [each for each in model.parameters() if each.requires_grad]
    weights = [weight for _, weight in layers if weight.requires_grad]
    velocities = [0.0] * len(weights)
    with observed(model, differentiated=3):
        for _ in range(steps):
            noise = torch.empty(images.shape).normal_(generator=generator).to(images)
            logits = model(noise)
            classes = torch.randint(logits.shape[-1], (len(images),), generator=generator)
            loss = functional.cross_entropy(logits, classes.to(labels.device))
            quotient = gradient_quotient(loss, parameters)
            slopes = torch.autograd.grad(quotient, weights, allow_unused=True)
            for index, (weight, slope) in enumerate(zip(weights, slopes, strict=True)):
                norm = float(weight.detach().norm())
                if slope is None or norm == 0:
                    continue
                direction = float((weight.detach() * slope).sum().sign())
                velocities[index] = momentum * velocities[index] - learning_rate * direction
                moved = norm + velocities[index]
                if moved > 0:
                    with torch.no_grad():
                        weight.mul_(moved / norm)


def gradient_quotient(
    loss: torch.Tensor, parameters: Sequence[torch.Tensor], eps: float = 1e-5
) -> torch.Tensor:
    """Return the mean over all elements of |(g - H g) / (g + eps sign(g)) - 1|.

    g is the gradient of the loss, H g the Hessian times it, sign(0) = 1: how much a gradient step
    changes the gradient, relative to itself. Dauphin and Schoenholz 2019, equation 1.
    """
    import torch

    gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    used = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    half_norm = torch.stack([g.square().sum() for _, g in used]).sum() / 2
    products = torch.autograd.grad(half_norm, [p for p, _ in used], create_graph=True)
    total = torch.zeros((), device=loss.device)
    for (_, g), product in zip(used, products, strict=True):
        signs = torch.where(g >= 0, 1.0, -1.0)
        total = total + ((g - product) / (g + eps * signs) - 1).abs().sum()
    return total / sum(g.numel() for _, g in used)
