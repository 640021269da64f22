"""The training-free measures of a cohort's networks, which are computed as one stacked network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.func import functional_call, stack_module_state, vmap

from benchmark.layers import describe
from benchmark.measures import measure, measures_with
from benchmark.signals import Output, signals_of_each
from benchmark.training.course import Candidate
from benchmark.training.data import CellData
from benchmark.training.stacked_layers import StackedLayers, tapped

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
    names = [layer.name for layer, _ in describe(candidates[0].model)]
    done = []
    size = math.ceil(len(candidates) / math.ceil(len(candidates) / MOST_TOGETHER))
    for start in range(0, len(candidates), size):
        part = candidates[start : start + size]
        signals = signals_of_each(
            _Together([each.model for each in part]), *batch, names, complete=False
        )
        done += [
            replace(each, measures=measures_with(each.model, own, complete=False).summary())
            for each, own in zip(part, signals, strict=True)
        ]
    return done


class _Together:
    """Networks of one form, stacked; the modules of the first are called."""

    def __init__(self, models: Sequence[torch.nn.Module]) -> None:
        self.model = models[0]
        self._weights, self._buffers = stack_module_state(list(models))

    def logits(self, images: torch.Tensor, each: bool = False) -> torch.Tensor:
        def call(weights: Any, buffers: Any, seen: torch.Tensor) -> torch.Tensor:
            with StackedLayers():
                return functional_call(self.model, (weights, buffers), (seen,))

        in_dims = (0, 0, 0 if each else None)
        return vmap(call, in_dims, randomness="error")(self._weights, self._buffers, images)

    def weight(self, name: str) -> Output:
        return Output(self._weights[name], 0)

    def tap(self, output: torch.Tensor) -> tuple[Output, torch.Tensor]:
        value, dim, onward = tapped(output)
        return Output(value, dim), onward
