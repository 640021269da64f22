"""The training-free measures of a cohort's networks, which are computed as one stacked network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.func import stack_module_state

from benchmark.layers import describe
from benchmark.measures import measure, measures_with
from benchmark.signals import Output, signals_of_each
from benchmark.training.course import Candidate
from benchmark.training.data import CellData
from benchmark.training.network import stacked_logits
from benchmark.training.stacked_layers import tapped

MOST_TOGETHER = 16
"""So many at a time: attention that can be differentiated again takes more memory than training."""


def measured(candidate: Candidate, data: CellData) -> Candidate:
    """Measure a candidate by itself."""
    batch = data.initialization_batch(candidate.trial.cell.recipe)
    found = measure(candidate.model, *batch, complete=False)
    return replace(candidate, measures=found.summary())


def measured_together(candidates: Sequence[Candidate], data: CellData) -> list[Candidate]:
    """Measure candidates that can be stacked: each as if by itself, but for the last bits.

    Raises whatever torch raises for models that differ in more than the values of their weights.
    """
    batch = data.initialization_batch(candidates[0].trial.cell.recipe)
    done = []
    size = math.ceil(len(candidates) / math.ceil(len(candidates) / MOST_TOGETHER))
    for start in range(0, len(candidates), size):
        part = candidates[start : start + size]
        described = [describe(each.model) for each in part]
        names = [layer.name for layer, _ in described[0]]
        signals = signals_of_each(_Together([each.model for each in part]), *batch, names)
        done += [
            replace(each, measures=measures_with(layers, own, complete=False).summary())
            for each, layers, own in zip(part, described, signals, strict=True)
        ]
    return done


class _Together:
    """Networks of one form, stacked; the modules of the first are called."""

    def __init__(self, models: Sequence[torch.nn.Module]) -> None:
        self.model = models[0]
        self._weights, self._buffers = stack_module_state(list(models))

    def logits(self, images: torch.Tensor, each: bool = False) -> torch.Tensor:
        return stacked_logits(self.model, self._weights, self._buffers, images, own_images=each)

    def tap(self, output: torch.Tensor) -> tuple[Output, torch.Tensor]:
        value, dim, onward = tapped(output)
        return Output(value, dim), onward
