"""Where a cohort's time goes, and how it grows: `python -m perf.phases [--quick] [--json FILE]`.

The first table takes a training step of a cohort of the quickstart's models apart - batches,
forward pass with loss, backward pass, optimizer, sums of losses and hits - and sets beside it, per
trial, what comes once: building and treating the network, measuring it, and evaluating an epoch.

The second changes one thing at a time - replicas, parameters, classes, image size - and gives the
milliseconds of a step. Its exponent is the slope of log(time) on log(size) between the last two
sizes: 1 is linear growth.

Seconds are of the processor on a CPU, where one thread works, and of the clock on a GPU; the median
of the rounds. Images are random: what is in them costs no time. Prints markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from benchmark.config import load_config
from benchmark.datasets.images import ArrayImages, Images
from benchmark.grid import expand
from benchmark.recipe import Recipe
from benchmark.training.course import build
from benchmark.training.data import CellData, prepare
from benchmark.training.device import choose_device, keep_freed_memory, synchronise
from benchmark.training.measuring import measured_together
from benchmark.training.network import Network, Stack, mean_losses
from benchmark.treatment import parse_treatment
from benchmark.trial import Cell, Trial
from perf.versions import versions

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
PHASES = ("batches", "forward", "backward", "optimizer", "sums")
ONCE = ("build and treat, ms", "measure, ms")


@dataclass
class Clock:
    """Adds up what phases take, round by round."""

    device: torch.device
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def phase(self, name: str, share: float = 1.0) -> Iterator[None]:
        """Time a block and enter its seconds times `share`."""
        synchronise(self.device)
        start = self._now()
        yield
        synchronise(self.device)
        self.seconds[name].append((self._now() - start) * share)

    def median(self, name: str) -> float:
        """Return the median over rounds but the first."""
        return statistics.median(self.seconds[name][1:] or self.seconds[name])

    def _now(self) -> float:
        return time.perf_counter() if self.device.type == "cuda" else time.process_time()


@dataclass(frozen=True)
class Setting:
    """One cohort on random images."""

    architecture: str
    replicas: int = 8
    classes: int = 10
    image_size: int = 8
    channels: int = 1
    batch_size: int = 32

    def data(self, count: int, device: torch.device) -> CellData:
        """Return so many random images, an eighth of them for validation."""
        rng = np.random.default_rng(0)
        size = (count, self.channels, self.image_size, self.image_size)
        # Every class has at least two images, one for either side of the split.
        labels = np.arange(count, dtype=np.int64) % min(self.classes, count // 2)
        images = ArrayImages(rng.integers(0, 256, size, dtype=np.uint8), labels)
        return prepare(
            Images(self.classes, (0.5,) * self.channels, (0.25,) * self.channels, images, images),
            self.image_size,
            0,
            0.125,
            device,
        )

    def trials(self, recipe: Recipe) -> list[Trial]:
        """Return the cohort's trials: seeds of one treatment."""
        cell = Cell("random", self.architecture, "default", recipe)
        return [
            Trial(cell, parse_treatment("kaiming_normal"), seed) for seed in range(self.replicas)
        ]


def network_of(
    setting: Setting, recipe: Recipe, data: CellData, clock: Clock, device: torch.device
) -> Network:
    """Build, treat and stack the networks of a setting."""
    candidates = []
    for trial in setting.trials(recipe):
        with clock.phase("build and treat"):
            candidates.append(build(trial, data, device))
    if len(candidates) == 1:
        return Network(candidates, data, device)
    for _ in range(2):
        with clock.phase("measure", 1 / len(candidates)):
            measured_together(candidates, data)
    return Stack(candidates, data, device)


def phases_of(setting: Setting, recipe: Recipe, rounds: int, device: torch.device) -> Clock:
    """Take the training steps of a cohort apart; seconds per trial and step."""
    clock = Clock(device)
    data = setting.data(800, device)
    network = network_of(setting, recipe, data, clock, device)
    share = 1 / setting.replicas
    for epoch in range(1, rounds + 1):
        with clock.phase("batches", share):
            batches = list(data.training_batches(recipe, 0, epoch))
        count = len(batches)
        clock.seconds["batches"][-1] /= count
        parts: dict[str, float] = defaultdict(float)
        for images, labels in batches:
            step = Clock(device)
            one_step(network, images, labels, step)
            for name, values in step.seconds.items():
                parts[name] += values[0] * share / count
        for name, seconds in parts.items():
            clock.seconds[name].append(seconds)
        network._training.take()
        with clock.phase("evaluation", share):
            for images, labels in data.evaluation_batches(data.validation):
                network.evaluate(images, labels)
            network._evaluation.take()
        clock.seconds["evaluation"][-1] /= len(data.validation)
    return clock


def one_step(network: Network, images: torch.Tensor, labels: torch.Tensor, clock: Clock) -> None:
    """Take one training step as the loop does, with each part timed."""
    network._model.train()
    with clock.phase("forward"):
        logits = network._logits(images, [0] * len(network.courses))
        losses = mean_losses(logits, labels)
    with clock.phase("backward"):
        network._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
    with clock.phase("optimizer"):
        network._optimizer.step()
    with clock.phase("sums"):
        network._training.add(losses, logits, labels)


def growth(rounds: int, quick: bool, device: torch.device) -> list[dict[str, Any]]:
    """Time steps while one property of a cohort of plain CNNs changes."""
    widths = [(16, 32), (32, 64), (64, 128)][: 2 if quick else 3]
    series: dict[str, list[tuple[float, Setting]]] = {
        "replicas": [(n, Setting("plain_cnn", n)) for n in ((2, 4) if quick else (4, 8, 16, 32))],
        "parameters": [
            (parameters(name), Setting(name, 4))
            for name in (f"plain_cnn(widths=[{first},{last}])" for first, last in widths)
        ],
        "classes": [
            (n, Setting("plain_cnn", classes=n)) for n in ((10, 100) if quick else (10, 100, 1000))
        ],
        "image size": [
            (n, Setting("plain_cnn", image_size=n)) for n in ((8, 16) if quick else (8, 16, 32, 64))
        ],
    }
    found = []
    for name, settings in series.items():
        times = []
        for size, setting in settings:
            recipe = Recipe(batch_size=setting.batch_size)
            data = setting.data(max(256, 2 * setting.classes), device)
            network = network_of(setting, recipe, data, Clock(device), device)
            images, labels = data.initialization_batch(recipe)
            clock = Clock(device)
            for _ in range(rounds):
                with clock.phase("step"):
                    one_step(network, images, labels, Clock(device))
            times.append((size, clock.median("step")))
        (before, early), (after, late) = times[-2:]
        exponent = math.log(late / early) / math.log(after / before)
        found.append({"what": name, "times": times, "exponent": exponent})
    return found


def parameters(architecture: str) -> int:
    """Count an architecture's parameters at ten classes."""
    from benchmark import models

    model = models.build(architecture, channels=1, classes=10, image_size=8, seed=0)
    return sum(parameter.numel() for parameter in model.parameters())


def phase_table(found: dict[str, Clock]) -> str:
    """Return the table of phases: milliseconds per trial and step, and what a trial costs once."""
    lines = []
    for name, clock in found.items():
        total = sum(clock.median(phase) for phase in PHASES)
        shares = [f"{100 * clock.median(phase) / total:.0f} %" for phase in PHASES]
        lines.append(
            (
                name,
                f"{1e3 * total:.2f}",
                *shares,
                f"{1e3 * clock.median('evaluation'):.3f}",
                f"{1e3 * clock.median('build and treat'):.0f}",
                f"{1e3 * clock.median('measure'):.0f}",
            )
        )
    headers = ("model", "step, ms", *PHASES, "evaluating an image, ms", *ONCE)
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)


def growth_table(found: Sequence[dict[str, Any]]) -> str:
    """Return the table of growth."""
    lines = [
        (
            each["what"],
            ", ".join(f"{size:,}: {1e3 * seconds:.1f}" for size, seconds in each["times"]),
            f"{each['exponent']:.2f}",
        )
        for each in found
    ]
    headers = ("what grows", "size: milliseconds of a step of the cohort", "exponent")
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    """Measure, print the tables, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    device = choose_device("auto")
    torch.set_num_threads(1)
    keep_freed_memory()
    rounds = 2 if arguments.quick else 6
    cells = dict.fromkeys(trial.cell for trial in expand(load_config(CONFIG)).trials)
    phases = {
        cell.architecture: phases_of(
            Setting(cell.architecture, replicas=2 if arguments.quick else 16),
            cell.recipe,
            rounds,
            device,
        )
        for cell in cells
    }
    grown = growth(2 * rounds, arguments.quick, device)
    print(phase_table(phases), "\n")
    print(growth_table(grown))
    if arguments.json:
        medians: dict[str, dict[str, float]] = {
            name: {phase: clock.median(phase) for phase in clock.seconds}
            for name, clock in phases.items()
        }
        content = {**versions(), "phases": medians, "growth": grown}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
