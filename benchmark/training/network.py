"""What is trained: the network of one trial, or the stacked networks of several.

Both are seen as replicas in a row, so that the loop, the loss and the optimizer are the same code:
logits are [replicas, images, classes], and one backward pass goes through the sum of the replicas'
mean losses, of which each depends on its own weights alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from benchmark.seeds import derive
from benchmark.training.course import Candidate, Course, Tally
from benchmark.training.data import EVALUATION_BATCH, CellData
from benchmark.training.device import autocast, seed_dropout
from benchmark.training.optimization import make_optimizer, make_schedule
from benchmark.training.stacked_layers import StackedLayers
from benchmark.trial import Record


class Network:
    """The network of one trial, trained as it is: the plain loop."""

    def __init__(
        self, candidates: Sequence[Candidate], data: CellData, device: torch.device
    ) -> None:
        recipe = candidates[0].trial.cell.recipe
        self.courses = [Course(each, data.classes) for each in candidates]
        self._model = candidates[0].model
        self._optimizer = make_optimizer(self._model, recipe)
        updates = max(len(data.train) // recipe.batch_size, 1)
        self._schedule = make_schedule(self._optimizer, recipe, updates)
        self.recipe = recipe
        self._device = device
        self._update = 0
        self._training = Tally(len(candidates), device)
        self._evaluation = Tally(len(candidates), device)

    @property
    def active(self) -> list[Course]:
        """The trials that go on."""
        return [course for course in self.courses if course.active]

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Train on a batch; dropout draws from each trial's own stream, whoever is beside it."""
        seeds = [derive(each.trial.seed, "dropout", self._update) for each in self.courses]
        if not self._model.training:
            self._model.train()
        with autocast(self.recipe, self._device):
            logits = self._logits(images, seeds)
            losses = mean_losses(logits, labels, self.recipe.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        if self.recipe.clip_gradient is not None:
            self._clip(self.recipe.clip_gradient)
        self._optimizer.step()
        self._update += 1
        self._schedule.step_update(self._update)
        self._training.add(losses, logits, labels)

    def evaluate(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch to what `finish_epoch` or `records` will read."""
        self._model.eval()
        size = max(EVALUATION_BATCH // len(self.courses), 1)
        for part, truth in zip(images.split(size), labels.split(size), strict=True):
            with torch.no_grad(), autocast(self.recipe, self._device):
                logits = self._logits(part, None)
                self._evaluation.add(mean_losses(logits, truth), logits, truth)

    def finish_epoch(self, seconds: float) -> None:
        """Enter the epoch into the curves; `seconds` is each active trial's share of it."""
        rate = self._optimizer.param_groups[0]["lr"]
        for course, training, validation in zip(
            self.courses, self._training.take(), self._evaluation.take(), strict=True
        ):
            if course.active:
                course.finish_epoch(training, validation, rate, seconds)

    def records(
        self, data: CellData, seconds: float, provenance: Sequence[dict[str, Any]]
    ) -> list[Record]:
        """Close the trials, whose test images have been evaluated in `seconds` each."""
        return [
            course.record(data, test, seconds, origin)
            for course, test, origin in zip(
                self.courses, self._evaluation.take(), provenance, strict=True
            )
        ]

    def _logits(self, images: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        """Return [replicas, images, classes]; `seeds` are those of the dropout in training."""
        if seeds is not None:
            seed_dropout(seeds[0], self._device)
        return self._model(images).unsqueeze(0)

    def _clip(self, largest: float) -> None:
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), largest)


class Stack(Network):
    """The networks of several trials as one, with a leading replica axis on every weight.

    A replica whose numbers are not finite goes on in its place: nothing mixes replicas, and what
    the others compute must not change with it. The candidates' models are used up.
    Raises whatever torch raises for models that differ in more than the values of their weights.
    """

    def __init__(
        self, candidates: Sequence[Candidate], data: CellData, device: torch.device
    ) -> None:
        super().__init__(candidates, data, device)
        models = [each.model for each in candidates]
        self._weights, self._buffers = stack_module_state(models)
        use_stacked(self._optimizer, self._model, self._weights)
        for model in models:
            model.to("meta")

    def _logits(self, images: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        return stacked_logits(self._model, self._weights, self._buffers, images, seeds or ())

    def _clip(self, largest: float) -> None:
        gradients = [each.grad for each in self._weights.values() if each.grad is not None]
        clip_each(gradients, largest)


def stacked_logits(
    model: torch.nn.Module,
    weights: dict[str, torch.Tensor],
    buffers: dict[str, Any],
    images: torch.Tensor,
    seeds: Sequence[int],
) -> torch.Tensor:
    """Return the logits [replicas, images, classes] of `model` with each replica's state.

    Raises RuntimeError for a model that draws random numbers in a way that no rule covers.
    """

    def call(own_weights: Any, own_buffers: Any) -> torch.Tensor:
        with StackedLayers(seeds):
            return functional_call(model, (own_weights, own_buffers), (images,))

    return vmap(call, randomness="error")(weights, buffers)


def mean_losses(
    logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Return the mean cross entropy [replicas] of logits [replicas, images, classes]."""
    replicas = len(logits)
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float() if logits.dtype != torch.float64 else logits.flatten(0, 1),
        labels.repeat(replicas),
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return losses.view(replicas, -1).mean(1)


def clip_each(gradients: Sequence[torch.Tensor], largest: float) -> None:
    """Scale each replica's gradient, over all tensors [replicas, ...], to a norm of at most this.

    As `torch.nn.utils.clip_grad_norm_` does with one network's.
    """
    norms = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients])
    factors = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for each in gradients:
        each.mul_(factors.view(-1, *[1] * (each.ndim - 1)))


def use_stacked(
    optimizer: torch.optim.Optimizer,
    model: torch.nn.Module,
    weights: dict[str, torch.Tensor],
) -> None:
    """Let an optimizer that was made for one model's parameters update stacked ones instead.

    Which of them decay, and at which rate they learn, stays as it is for the one model.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        group["params"] = [weights[names[id(parameter)]] for parameter in group["params"]]
