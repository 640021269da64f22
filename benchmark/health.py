"""What is unusual about an initialised model, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from benchmark.measures import LayerMeasures, ModelMeasures, geometric_mean, growth
from benchmark.wording import counted

LEAST_GROWTH = math.log10(1.5)
"""A signal that grows or shrinks by this factor a layer is unusual, ..."""
LEAST_RANGE = 1.5
"""... if its fitted line spans so many powers of ten over the depth of the model."""
LEAST_RANK = 0.99
USUAL_STRENGTH = (0.5, 2.0)
"""The strength variance of independent weights lies between these multiples of expectation."""

_SHOWN = 3


def unusual(found: ModelMeasures) -> list[str]:
    """Return a clause for everything unusual: the gravest first, nothing for a healthy model."""
    return [
        *_dead(found.layers),
        *_through_depth(found),
        *_weights(found.layers),
        *_strength(found.layers),
    ]


def in_words(found: ModelMeasures) -> str:
    """Return one line that says what is unusual."""
    clauses = unusual(found)
    return "; ".join(clauses) if clauses else "nothing unusual"


def _dead(layers: Sequence[LayerMeasures]) -> Iterator[str]:
    zero = [layer for layer in layers if layer.statistics.zero_rows == 1]
    if zero:
        yield f"all weights are zero in {_names(zero)}"
    dead = [
        layer
        for layer in layers
        if layer.signal and layer.signal.variance == 0 and layer not in zero
    ]
    if dead:
        yield f"no signal arrives in {_names(dead)}"
    unmoved = [
        layer
        for layer in layers
        if layer.signal and layer.signal.weight_gradient == 0 and layer not in (*zero, *dead)
    ]
    if unmoved:
        yield f"no gradient arrives in {_names(unmoved)}"
    lost = [
        layer
        for layer in layers
        if layer.signal and not math.isfinite(layer.signal.variance + layer.signal.output_gradient)
    ]
    if lost:
        yield f"signals or gradients overflow in {_names(lost)}"


def _through_depth(found: ModelMeasures) -> Iterator[str]:
    passed = [layer.signal for layer in found.layers if layer.signal]
    for what, values, words in (
        (
            "activation variance",
            [signal.variance for signal in passed],
            ("grows", "shrinks"),
        ),
        (
            "gradients",
            [signal.output_gradient for signal in reversed(passed)],
            ("explode, growing", "vanish, shrinking"),
        ),
    ):
        slope = growth(values)
        if abs(slope) >= LEAST_GROWTH and abs(slope) * (len(values) - 1) >= LEAST_RANGE:
            factor = 10 ** abs(slope)
            towards = " towards the input" if what == "gradients" else ""
            yield f"{what} {words[slope < 0]} x{factor:.3g} per layer{towards}"


def _weights(layers: Sequence[LayerMeasures]) -> Iterator[str]:
    alive = [layer for layer in layers if layer.statistics.zero_rows < 1]
    for what, share in (
        ("rank-deficient weights", _lacking_rank),
        ("rows of zeros", lambda layer: layer.statistics.zero_rows),
        ("duplicate rows", lambda layer: layer.statistics.duplicate_rows),
    ):
        yield from _share_clause(what, share, alive)


def _lacking_rank(layer: LayerMeasures) -> float:
    lacking = 1 - layer.statistics.rank_share
    return lacking if lacking > 1 - LEAST_RANK else 0.0


def _share_clause(
    what: str, share: Callable[[LayerMeasures], float], layers: Sequence[LayerMeasures]
) -> Iterator[str]:
    hit = sorted((layer for layer in layers if share(layer) > 0), key=share, reverse=True)
    if hit:
        yield f"{what} in {_names(hit)} (up to {100 * share(hit[0]):.0f} %)"


def _strength(layers: Sequence[LayerMeasures]) -> Iterator[str]:
    ratio = geometric_mean(layer.statistics.strength_ratio for layer in layers)
    low, high = USUAL_STRENGTH
    if ratio < low or ratio > high:
        yield f"strength variance is x{ratio:.2g} of that of independent weights"


def _names(layers: Sequence[LayerMeasures]) -> str:
    names = [layer.name for layer in layers]
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {counted(more, 'more layer')}" if more > 0 else shown
