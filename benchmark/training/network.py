"""What is trained: the network of one trial, or the stacked networks of several.

Both are seen as replicas in a row, so that the loop, the loss and the optimizer are the same code:
logits are [replicas, images, classes], and one backward pass goes through the sum of the replicas'
mean losses, of which each depends on its own weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from benchmark.seeds import derive
from benchmark.training.course import Candidate, Course, Tally
from benchmark.training.data import EVALUATION_BATCH, CellData
from benchmark.training.device import autocast, seed_dropout
from benchmark.training.optimization import make_optimizer, make_schedule
from benchmark.training.patches import PatchConvolutions
from benchmark.training.stacked_layers import StackedLayers
from benchmark.trial import Record


class Network:
    """The network of one trial, trained as it is: the plain loop."""

    def __init__(
        self, candidates: Sequence[Candidate], data: CellData, device: torch.device
    ) -> None:
        recipe = candidates[0].trial.cell.recipe
        self.courses = [Course(each, data.classes) for each in candidates]
        self._replicas = list(self.courses)
        self._model = candidates[0].model
        self._optimizer = make_optimizer(self._model, recipe)
        updates = max(len(data.train) // recipe.batch_size, 1)
        self._schedule = make_schedule(self._optimizer, recipe, updates)
        self.recipe = recipe
        self._device = device
        on_cpu = device.type == "cpu"
        self._layers: AbstractContextManager[Any] = PatchConvolutions() if on_cpu else nullcontext()
        self._update = 0
        self._training = Tally(len(candidates), device)
        self._evaluation = Tally(len(candidates), device)

    @property
    def active(self) -> list[Course]:
        """The trials that go on."""
        return [course for course in self.courses if course.active]

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Train on a batch; dropout draws from each trial's own stream, whoever is beside it."""
        seeds = [derive(each.trial.seed, "dropout", self._update) for each in self._replicas]
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
        size = max(EVALUATION_BATCH // len(self._replicas), 1)
        for part, truth in zip(images.split(size), labels.split(size), strict=True):
            with torch.no_grad(), autocast(self.recipe, self._device):
                logits = self._logits(part, None)
                self._evaluation.add(mean_losses(logits, truth), logits, truth)

    def finish_epoch(self, seconds: float) -> None:
        """Enter the epoch into the curves; `seconds` is each active trial's share of it."""
        rate = self._optimizer.param_groups[0]["lr"]
        for course, training, validation in zip(
            self._replicas, self._training.take(), self._evaluation.take(), strict=True
        ):
            if course.active:
                course.finish_epoch(training, validation, rate, seconds)

    def records(
        self, data: CellData, seconds: float, provenance: Sequence[dict[str, Any]]
    ) -> list[Record]:
        """Close the trials, whose test images have been evaluated in `seconds` each."""
        tests = dict(zip(self._replicas, self._evaluation.take(), strict=True))
        return [
            course.record(data, tests.get(course), seconds, origin)
            for course, origin in zip(self.courses, provenance, strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """Return all that later epochs depend on, and the curves so far.

        Schedule and random numbers have no state: they follow from the update and from the trials'
        seeds.
        """
        return {
            "update": self._update,
            "numbers": self._numbers,
            "optimizer": self._optimizer.state_dict(),
            "courses": [course.state() for course in self.courses],
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Go on from such a state; raises ValueError for that of another network."""
        saved, own = values["numbers"], self._numbers
        if _shapes(saved) != _shapes(own):
            raise ValueError("its weights have other names or shapes")
        with torch.no_grad():
            for name, number in own.items():
                number.copy_(saved[name])
        self._optimizer.load_state_dict(values["optimizer"])
        self._update = values["update"]
        for course, state in zip(self.courses, values["courses"], strict=True):
            course.restore(state)

    @property
    def _numbers(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers, also those that a `state_dict` leaves out."""
        return {**dict(self._model.named_parameters()), **dict(self._model.named_buffers())}

    def _logits(self, images: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        """Return [replicas, images, classes]; `seeds` are those of the dropout in training."""
        if seeds is not None:
            seed_dropout(seeds[0], self._device)
        with self._layers:
            logits = self._model(images).unsqueeze(0)
        if isinstance(self._layers, PatchConvolutions) and not self._layers.found:
            self._layers = nullcontext()
        return logits

    def _clip(self, largest: float) -> None:
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), largest)


class Stack(Network):
    """The networks of several trials as one, with a leading replica axis on every weight.

    A replica whose numbers are not finite goes on in its place: nothing mixes replicas, and what
    the others compute does not change with it. Only at the end of an epoch that leaves no more
    than half of them are the others taken out: the last bits of what is left are then those of a
    smaller stack, at the same epoch in every run. The candidates' models are used up.
    Raises whatever torch raises for models that differ in more than the values of their weights.
    """

    def __init__(
        self, candidates: Sequence[Candidate], data: CellData, device: torch.device
    ) -> None:
        super().__init__(candidates, data, device)
        models = [each.model for each in candidates]
        self._weights, self._buffers = stack_module_state(models)
        use_stacked(self._optimizer, dict(self._model.named_parameters()), self._weights)
        for model in models:
            model.to("meta")

    def finish_epoch(self, seconds: float) -> None:
        super().finish_epoch(seconds)
        if 0 < 2 * len(self.active) <= len(self._replicas):
            self._keep(self.active)

    def state(self) -> dict[str, Any]:
        places = [self.courses.index(course) for course in self._replicas]
        return {**super().state(), "replicas": places}

    def restore(self, values: dict[str, Any]) -> None:
        self._keep([self.courses[place] for place in values["replicas"]])
        super().restore(values)

    @property
    def _numbers(self) -> dict[str, torch.Tensor]:
        return {**self._weights, **self._buffers}

    def _keep(self, courses: Sequence[Course]) -> None:
        """Go on with the replicas of these courses alone, if the optimizer's state can be cut."""
        if courses == self._replicas:
            return
        places = [self._replicas.index(course) for course in courses]
        state = _cut(self._optimizer, places)
        if state is None:
            return
        weights = {
            name: each.detach()[places].requires_grad_(each.requires_grad)
            for name, each in self._weights.items()
        }
        use_stacked(self._optimizer, self._weights, weights)
        self._optimizer.load_state_dict(state)
        self._weights = weights
        self._buffers = {name: each[places] for name, each in self._buffers.items()}
        self._replicas = list(courses)
        device = self._device
        self._training, self._evaluation = (Tally(len(courses), device) for _ in range(2))

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
    seeds: Sequence[int] = (),
    *,
    own_images: bool = False,
) -> torch.Tensor:
    """Return the logits [replicas, images, classes] of `model` with each replica's state.

    All replicas see the same images, or with `own_images` [replicas, images, ...] each its own.
    Raises RuntimeError for a model that draws random numbers in a way that no rule covers.
    """

    def call(own_weights: Any, own_buffers: Any, seen: torch.Tensor) -> torch.Tensor:
        with StackedLayers(seeds):
            return functional_call(model, (own_weights, own_buffers), (seen,))

    in_dims = (0, 0, 0 if own_images else None)
    return vmap(call, in_dims, randomness="error")(weights, buffers, images)


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
    before: Mapping[str, torch.Tensor],
    after: Mapping[str, torch.Tensor],
) -> None:
    """Let an optimizer that was made for the parameters `before` update those `after` instead.

    Which of them decay, and at which rate they learn, stays as it is.
    """
    names = {id(parameter): name for name, parameter in before.items()}
    for group in optimizer.param_groups:
        group["params"] = [after[names[id(parameter)]] for parameter in group["params"]]


def _cut(optimizer: torch.optim.Optimizer, places: Sequence[int]) -> dict[str, Any] | None:
    """Return the optimizer's state with that of these replicas alone.

    None if there is anything in it of which it does not show whose it is.
    """
    state = optimizer.state_dict()
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    cut: dict[int, dict[str, Any]] = {}
    for index, values in state["state"].items():
        cut[index] = {}
        for name, value in values.items():
            if torch.is_tensor(value) and value.shape == parameters[index].shape:
                value = value[places]
            elif not isinstance(value, (int, float, type(None))) and not (
                torch.is_tensor(value) and value.numel() == 1
            ):
                return None
            cut[index][name] = value
    return {**state, "state": cut}


def _shapes(numbers: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (each.shape, each.dtype) for name, each in numbers.items()}
