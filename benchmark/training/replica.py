"""One network of a cohort: its model, its optimizer, and what it has done so far."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch.nn import functional

from benchmark import models
from benchmark.initialization import Report, initialize
from benchmark.seeds import derive
from benchmark.training.data import CellData
from benchmark.training.device import autocast, seed_dropout
from benchmark.training.optimization import make_optimizer, make_schedule
from benchmark.trial import Record, Status, Trial


class Tally:
    """Loss and correct answers summed over batches, on the device: taking them synchronises."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._reset()

    def _reset(self) -> None:
        self._loss = torch.zeros((), dtype=torch.float64, device=self._device)
        self._correct = torch.zeros((), dtype=torch.int64, device=self._device)
        self._count = 0

    def add(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch, given its mean loss."""
        self._loss += loss.detach().double() * len(labels)
        self._correct += (logits.detach().argmax(1) == labels).sum()
        self._count += len(labels)

    def take(self) -> tuple[float, float]:
        """Return mean loss and accuracy, and start anew."""
        taken = self._loss.item() / self._count, self._correct.item() / self._count
        self._reset()
        return taken


class Replica:
    """A trial in training; `active` until it diverges, and nobody else's numbers depend on it."""

    def __init__(self, trial: Trial, data: CellData, device: torch.device) -> None:
        recipe = trial.cell.recipe
        self.trial = trial
        self.active = True
        self.curves: dict[str, list[float]] = defaultdict(list)
        self.message = ""
        self._device = device
        self._recipe = recipe
        self._untrained_loss = math.log(data.classes)
        self.model = models.build(
            trial.cell.architecture,
            channels=data.channels,
            classes=data.classes,
            image_size=data.image_size,
            seed=trial.seed,
        ).to(device)
        self.report: Report = initialize(
            self.model,
            trial.treatment,
            seed=trial.seed,
            batch=lambda: data.initialization_batch(recipe),
        )
        self._optimizer = make_optimizer(self.model, recipe)
        updates = max(len(data.train) // recipe.batch_size, 1)
        self._schedule = make_schedule(self._optimizer, recipe, updates)
        self._update = 0
        self._training = Tally(device)
        self._evaluation = Tally(device)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Train on a batch; dropout draws from the trial's own stream, whoever trains beside it."""
        seed_dropout(derive(self.trial.seed, "dropout", self._update), self._device)
        self.model.train()
        with autocast(self._recipe, self._device):
            logits = self.model(images)
            loss = functional.cross_entropy(
                logits.float(), labels, label_smoothing=self._recipe.label_smoothing
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._recipe.clip_gradient is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._recipe.clip_gradient)
        self._optimizer.step()
        self._update += 1
        self._schedule.step_update(self._update)
        self._training.add(loss, logits, labels)

    def evaluate(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch to what `finish_epoch` or `record` will read."""
        self.model.eval()
        with torch.no_grad(), autocast(self._recipe, self._device):
            logits = self.model(images).float()
            self._evaluation.add(functional.cross_entropy(logits, labels), logits, labels)

    def finish_epoch(self, seconds: float) -> None:
        """Enter the epoch into the curves; a non-finite training loss ends the trial.

        `seconds` is the replica's share of the cohort's wall time.
        """
        learning_rate = self._optimizer.param_groups[0]["lr"]
        train_loss, train_accuracy = self._training.take()
        loss, accuracy = self._evaluation.take()
        if not math.isfinite(train_loss):
            self.active = False
            epoch = len(self.curves["train_loss"]) + 1
            self.message = f"the training loss became {train_loss} in epoch {epoch}"
        for name, value in {
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "learning_rate": learning_rate,
            "seconds": seconds,
        }.items():
            self.curves[name].append(value)

    def record(self, data: CellData, provenance: dict[str, Any], test_seconds: float) -> Record:
        """Close the trial, whose test images have been evaluated if it is active.

        `diverged` is a training loss that was not finite, or a loss that ends above that of an
        untrained guess, the logarithm of the number of classes: both the mean training loss of
        the last epoch and the validation loss after it.
        """
        test_loss, accuracy = self._evaluation.take() if self.active else (None, None)
        last = min(self.curves["train_loss"][-1], self.curves["validation_loss"][-1])
        status: Status = "ok"
        if not self.active or last > self._untrained_loss:
            status = "diverged"
            self.message = self.message or (
                f"training and validation loss ended at {last:.4g} or more, above"
                f" {self._untrained_loss:.4g}, that of an untrained guess"
            )
        validation = self.curves["validation_accuracy"]
        return Record.of(
            self.trial,
            status,
            accuracy=accuracy if status == "ok" else None,
            n_test=len(data.test),
            epoch1_accuracy=validation[0],
            n_validation=len(data.validation),
            area_under_validation_curve=sum(validation) / len(validation),
            test_loss=test_loss,
            curves=dict(self.curves),
            strength=_strength(self.report),
            seconds={
                "initialization": self.report.initialization_seconds,
                "rewiring": self.report.rewiring_seconds,
                "training": sum(self.curves["seconds"]) + test_seconds,
            },
            message=self.message,
            provenance=provenance,
        )


def _strength(report: Report) -> dict[str, Any]:
    return {
        "before": report.strength_before,
        "after": report.strength_after,
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.shape),
                "before": [layer.before.inputs, layer.before.outputs],
                "after": [layer.after.inputs, layer.after.outputs],
            }
            for layer in report.layers
        ],
    }
