"""The course of one trial: its curves, whether it goes on, and the record it ends in."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmark import models
from benchmark.initialization import Report, initialize
from benchmark.training.data import CellData
from benchmark.trial import Record, Status, Trial


@dataclass(frozen=True)
class Candidate:
    """A trial's network as its treatment left it, not trained yet."""

    trial: Trial
    model: torch.nn.Module
    report: Report
    measures: dict[str, float] = field(default_factory=dict)


def build(trial: Trial, data: CellData, device: torch.device) -> Candidate:
    """Build a trial's network on the device and treat it."""
    model = models.build(
        trial.cell.architecture,
        channels=data.channels,
        classes=data.classes,
        image_size=data.image_size,
        seed=trial.seed,
    ).to(device)
    report = initialize(
        model,
        trial.treatment,
        seed=trial.seed,
        batch=lambda: data.initialization_batch(trial.cell.recipe),
    )
    return Candidate(trial, model, report)


class Tally:
    """Losses and correct answers of replicas, summed on the device: taking them synchronises."""

    def __init__(self, replicas: int, device: torch.device) -> None:
        self._loss = torch.zeros(replicas, dtype=torch.float64, device=device)
        self._correct = torch.zeros(replicas, dtype=torch.int64, device=device)
        self._count = 0

    def add(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: mean losses [replicas] and logits [replicas, images, classes]."""
        self._loss += losses.detach().double() * len(labels)
        self._correct += (logits.detach().argmax(-1) == labels).sum(-1)
        self._count += len(labels)

    def take(self) -> list[tuple[float, float]]:
        """Return each replica's mean loss and accuracy, and start anew."""
        count, self._count = max(self._count, 1), 0
        losses, correct = self._loss.tolist(), self._correct.tolist()
        self._loss.zero_()
        self._correct.zero_()
        return [(loss / count, hits / count) for loss, hits in zip(losses, correct, strict=True)]


class Course:
    """What a trial has done so far; `active` until its training loss is no number any more."""

    def __init__(self, candidate: Candidate, classes: int) -> None:
        self.trial = candidate.trial
        self.active = True
        self._strength = _strength(candidate.report, candidate.measures)
        self._seconds = {
            "initialization": candidate.report.initialization_seconds,
            "rewiring": candidate.report.rewiring_seconds,
        }
        self._curves: dict[str, list[float]] = defaultdict(list)
        self._message = ""
        self._untrained_loss = math.log(classes)

    def state(self) -> dict[str, Any]:
        """Return what the record will be made of, as plain values."""
        return {
            "active": self.active,
            "strength": self._strength,
            "seconds": self._seconds,
            "curves": dict(self._curves),
            "message": self._message,
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Go on from such a state."""
        self.active = values["active"]
        self._strength = values["strength"]
        self._seconds = values["seconds"]
        self._curves = defaultdict(list, values["curves"])
        self._message = values["message"]

    def finish_epoch(
        self,
        training: tuple[float, float],
        validation: tuple[float, float],
        learning_rate: float,
        seconds: float,
    ) -> None:
        """Enter an epoch into the curves; a non-finite training loss ends the trial.

        `training` and `validation` are mean loss and accuracy, `seconds` the trial's share of the
        cohort's wall time.
        """
        if not math.isfinite(training[0]):
            self.active = False
            epoch = len(self._curves["train_loss"]) + 1
            self._message = f"the training loss became {training[0]} in epoch {epoch}"
        for name, value in {
            "train_loss": training[0],
            "train_accuracy": training[1],
            "validation_loss": validation[0],
            "validation_accuracy": validation[1],
            "learning_rate": learning_rate,
            "seconds": seconds,
        }.items():
            self._curves[name].append(value)

    def record(
        self,
        data: CellData,
        test: tuple[float, float] | None,
        test_seconds: float,
        provenance: dict[str, Any],
    ) -> Record:
        """Close the trial; `test` is its mean loss and accuracy on the test set, if it is active.

        `diverged` is a loss that is not finite - of training in any epoch, of validation or test
        at the end, which show what the last update did - or one that ends above that of an
        untrained guess, the logarithm of the number of classes: both the mean training loss of
        the last epoch and the validation loss after it.
        """
        test_loss, accuracy = test if test and self.active else (None, None)
        self._message = self._message or self._bad_end(test_loss)
        status: Status = "diverged" if self._message else "ok"
        validation = self._curves["validation_accuracy"]
        return Record.of(
            self.trial,
            status,
            accuracy=accuracy if status == "ok" else None,
            n_test=len(data.test),
            epoch1_accuracy=validation[0],
            n_validation=len(data.validation),
            area_under_validation_curve=sum(validation) / len(validation),
            test_loss=test_loss if test_loss is not None and math.isfinite(test_loss) else None,
            curves=dict(self._curves),
            strength=self._strength,
            seconds={
                **self._seconds,
                "training": sum(self._curves["seconds"]) + test_seconds,
            },
            message=self._message,
            provenance=provenance,
        )

    def _bad_end(self, test_loss: float | None) -> str:
        """Return why the last losses are those of a trial that diverged, if they are."""
        training, validation = (
            self._curves[f"{name}_loss"][-1] for name in ("train", "validation")
        )
        for name, loss in (("validation", validation), ("test", test_loss)):
            if loss is not None and not math.isfinite(loss):
                return f"the {name} loss after the last update was {loss}"
        if (last := min(training, validation)) > self._untrained_loss:
            return (
                f"training and validation loss ended at {last:.4g} or more, above"
                f" {self._untrained_loss:.4g}, that of an untrained guess"
            )
        return ""


def _strength(report: Report, measures: dict[str, float]) -> dict[str, Any]:
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
        "measures": measures,
        **({"untreated": list(report.untreated)} if report.untreated else {}),
    }
