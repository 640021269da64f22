"""The training-free measures of a model: a number each, for the records, and what they rest on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.matrices import turned
from benchmark.strength import LayerStatistics, layer_statistics

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.layers import Layer
    from benchmark.signals import LayerSignal, Signals

DESCRIPTIONS = {
    "gain": "geometric mean over layers of the gain, root mean square x root of fan_in",
    "rank_share": "mean over layers of the share of singular values that are not zero",
    "kurtosis": "mean over layers of the weights' excess kurtosis",
    "strength_ratio": "geometric mean over layers of the strength variance as a multiple of that"
    " of independent weights",
    "activation_growth": "slope of log10 of the outputs' variance, per layer in order of execution",
    "gradient_growth": "slope of log10 of the outputs' gradient, per layer towards the input",
    "effective_rank": "effective rank of the batch's outputs in the last layer before the logits,"
    " as a share of the greatest possible",
    "isometry_distance": "root mean square log singular value of the logits' Jacobian",
    "initial_loss": "cross-entropy of the untrained network on one training batch",
}
"""Every measure by name; `measure` returns those that are defined for a model."""


@dataclass(frozen=True)
class LayerMeasures:
    """A layer's weights and, if a batch passed it, its signal."""

    name: str
    shape: tuple[int, ...]
    statistics: LayerStatistics
    signal: LayerSignal | None


@dataclass(frozen=True)
class ModelMeasures:
    """A model's layers in order of execution (those never reached last), and its signals."""

    layers: tuple[LayerMeasures, ...]
    signals: Signals

    def summary(self) -> dict[str, float]:
        """Return every measure of DESCRIPTIONS that is a finite number here."""
        statistics = [layer.statistics for layer in self.layers]
        passed = [layer.signal for layer in self.layers if layer.signal]
        values = {
            "gain": geometric_mean(each.gain for each in statistics),
            "rank_share": _mean(each.rank_share for each in statistics),
            "kurtosis": _mean(each.kurtosis for each in statistics),
            "strength_ratio": geometric_mean(each.strength_ratio for each in statistics),
            "activation_growth": growth([each.variance for each in passed]),
            "gradient_growth": growth([each.output_gradient for each in reversed(passed)]),
            "effective_rank": passed[-2].effective_rank if len(passed) > 1 else math.nan,
            "isometry_distance": self.signals.isometry_distance,
            "initial_loss": self.signals.loss,
        }
        return {name: value for name, value in values.items() if math.isfinite(value)}


def measure(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, complete: bool = True
) -> ModelMeasures:
    """Measure a model's weights, and what the batch does in it; the model stays as it is.

    Unless `complete`, only what the summary rests on is computed, in half the time: other numbers
    of the layers may be NaN.
    """
    from benchmark.layers import describe
    from benchmark.signals import signals

    described = describe(model)
    names = [layer.name for layer, _ in described]
    found = signals(model, images, labels, names, complete=complete)
    return measures_with(described, found, complete=complete)


def measures_with(
    described: Sequence[tuple[Layer, nn.Parameter]], signals: Signals, *, complete: bool = True
) -> ModelMeasures:
    """Measure the weights that `describe` has found in a model; its signals are known."""
    by_name = {signal.name: signal for signal in signals.layers}
    order = {signal.name: place for place, signal in enumerate(signals.layers)}
    layers = [
        LayerMeasures(
            layer.name,
            layer.shape,
            layer_statistics(
                turned(weight.detach().float(), layer).flatten(1).numpy(force=True),
                layer.groups,
                complete=complete,
            ),
            by_name.get(layer.name),
        )
        for layer, weight in described
    ]
    layers.sort(key=lambda layer: order.get(layer.name, len(order)))
    return ModelMeasures(tuple(layers), signals)


def growth(values: Sequence[float]) -> float:
    """Return the slope of log10 over depth; NaN for fewer than two positive values.

    The median of the slopes between all pairs (Theil 1950, Sen 1968): a head of another scale
    than all layers before it does not bend it.
    """
    places = [place for place, value in enumerate(values) if 0 < value < math.inf]
    if len(places) < 2:
        return math.nan
    logs = np.log10([values[place] for place in places])
    first, second = np.triu_indices(len(places), 1)
    slopes = (logs[second] - logs[first]) / (np.take(places, second) - np.take(places, first))
    return float(np.median(slopes))


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of the positive numbers among `values`; NaN without any."""
    return math.exp(_mean(math.log(value) for value in values if 0 < value < math.inf))


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
