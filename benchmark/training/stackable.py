"""Whether networks can be trained as one stacked network: tried out, not looked up in a list."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache

import torch

from benchmark import models
from benchmark.recipe import Recipe
from benchmark.seeds import derive, torch_generator
from benchmark.training.course import Candidate
from benchmark.training.device import is_out_of_memory, seed_dropout
from benchmark.training.network import clip_each, mean_losses, stacked_logits, use_stacked
from benchmark.training.optimization import make_optimizer

TRIED_IMAGES = 4
TRIED_UPDATES = 12
"""Enough for optimizers that do something else every few steps, or after a warm-up of their own."""

_TOLERANCE = 1e-5


def why_not(candidates: Sequence[Candidate], channels: int, classes: int, image_size: int) -> str:
    """Return why these networks cannot be stacked; nothing if they can.

    Raises what means that memory does not suffice.
    """
    cell = candidates[0].trial.cell
    first = candidates[0].model
    form = _form(first)
    for other in candidates[1:]:
        # Measuring cohort sizes, all are one model.
        if other.model is not first and _form(other.model) != form:
            return (
                f"{other.trial.treatment} makes another network of {cell.architecture} than"
                f" {candidates[0].trial.treatment}"
            )
    device = str(next(first.parameters()).device)
    return _why_not_optimizer(cell.recipe.optimizer, cell.recipe, device) or _why_not_model(
        cell.architecture, channels, classes, image_size, device
    )


def _form(model: torch.nn.Module) -> tuple[str, list[tuple[str, torch.Size, bool]]]:
    """Return what must be the same: the modules with their settings, names and shapes."""
    shapes = [(name, each.shape, each.requires_grad) for name, each in model.named_parameters()]
    return repr(model), shapes


@lru_cache
def _why_not_optimizer(name: str, recipe: Recipe, device: str) -> str:
    """Step a stacked pair of layers and its two solo twins with the same gradients."""
    twins = [some_layers(seed).to(device) for seed in (0, 1)]
    try:
        pair, _ = torch.func.stack_module_state(copy.deepcopy(twins))
        solo = [make_optimizer(twin, recipe) for twin in twins]
        template = copy.deepcopy(twins[0])
        together = make_optimizer(template, recipe)
        use_stacked(together, dict(template.named_parameters()), pair)
        for update in range(TRIED_UPDATES):
            for parameter, weight in pair.items():
                generator = torch_generator(0, "gradient", parameter, update)
                gradient = torch.randn(weight.shape, generator=generator).to(device)
                # Different sizes, so that a norm taken over both replicas shows.
                gradient *= torch.tensor([1.0, 100.0]).to(device).view(2, *[1] * (weight.ndim - 1))
                weight.grad = gradient
                for place, twin in enumerate(twins):
                    twin.get_parameter(parameter).grad = gradient[place].clone()
            if recipe.clip_gradient is not None:
                clip_each([each.grad for each in pair.values()], recipe.clip_gradient)
                for twin in twins:
                    torch.nn.utils.clip_grad_norm_(twin.parameters(), recipe.clip_gradient)
            for optimizer in (*solo, together):
                optimizer.step()
    except Exception as error:
        return f"the optimizer {name} cannot update stacked weights: {_short(error)}"
    for parameter, weight in pair.items():
        for place, twin in enumerate(twins):
            if not _close(weight[place], twin.get_parameter(parameter)):
                return f"the optimizer {name} looks at all of a weight: it would mix the replicas"
    return ""


def some_layers(seed: int) -> torch.nn.Module:
    """Return a convolution and a linear layer, for trying optimizers out."""
    generator = torch_generator(seed, "layers")
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 5))
    for parameter in layers.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return layers


@lru_cache
def _why_not_model(
    architecture: str, channels: int, classes: int, image_size: int, device: str
) -> str:
    """Compare logits, gradients and running statistics of a stacked pair with its solo twins.

    In float64, where what is left to rounding is far below any mistake.
    """
    generator = torch_generator(0, "stackable")
    shape = (TRIED_IMAGES, channels, image_size, image_size)
    images = torch.randn(shape, generator=generator, dtype=torch.float64).to(device)
    labels = torch.randint(classes, (TRIED_IMAGES,), generator=generator).to(device)
    seeds = [derive(seed, "dropout", 0) for seed in (0, 1)]
    try:
        twins = [
            models.build(
                architecture, channels=channels, classes=classes, image_size=image_size, seed=seed
            ).to(device, torch.float64)
            for seed in (0, 1)
        ]
        weights, buffers = torch.func.stack_module_state(copy.deepcopy(twins))
        template = copy.deepcopy(twins[0]).to("meta")
        together = stacked_logits(template, weights, buffers, images, seeds)
        mean_losses(together, labels).sum().backward()
        for place, twin in enumerate(twins):
            seed_dropout(seeds[place], torch.device(device))
            alone = twin(images)
            mean_losses(alone.unsqueeze(0), labels).sum().backward()
            same = _close(together[place], alone)
            for name, parameter in twin.named_parameters():
                same &= _same_gradient(weights[name].grad, place, parameter.grad)
            for name, buffer in twin.named_buffers():
                same &= _close(buffers[name][place], buffer)
            if not same:
                return f"{architecture} computes something else when it is stacked"
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return f"{architecture} cannot be stacked: {_short(error)}"
    return ""


def _same_gradient(stacked: torch.Tensor | None, place: int, own: torch.Tensor | None) -> bool:
    if stacked is None or own is None:
        return stacked is own
    return _close(stacked[place], own)


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    scale = float(other.detach().abs().max()) if other.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=_TOLERANCE * max(scale, 1e-6), equal_nan=True)


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
