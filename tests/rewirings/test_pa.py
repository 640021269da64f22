"""PA against its own law: exact probabilities, published factors, what each pass leaves alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import benchmark
from benchmark import models
from benchmark.layers import describe
from benchmark.strength import strength_variance

Rows = tuple[tuple[float, ...], ...]


def order_probability(order: tuple[int, ...], attachment: list[float]) -> float:
    """Probability that columns are drawn in this order, one by one without replacement."""
    probability, left = 1.0, sum(attachment)
    for column in order:
        probability *= attachment[column] / left
        left -= attachment[column]
    return probability


def balanced(rows: Rows, offset: float) -> dict[Rows, float]:
    """Return the exact law of one pass: every outcome with its probability."""
    outcomes: dict[Rows, float] = {rows[:1]: 1.0}
    for row in rows[1:]:
        following: Counter[Rows] = Counter()
        for done, probability in outcomes.items():
            strength = [sum(column) for column in zip(*done, strict=True)]
            attachment = [s + abs(min(strength)) + offset for s in strength]
            for order in permutations(range(len(row))):
                placed = dict(zip(order, sorted(row), strict=True))
                rewired = tuple(placed[column] for column in range(len(row)))
                chance = order_probability(order, attachment)
                following[(*done, rewired)] += probability * chance
        outcomes = dict(following)
    return outcomes


def law_of_pa(rows: Rows, offset: float) -> dict[Rows, float]:
    """Return the exact law of both passes."""
    law: Counter[Rows] = Counter()
    for first, probability in balanced(rows, offset).items():
        for second, chance in balanced(tuple(zip(*first, strict=True)), offset).items():
            law[tuple(zip(*second, strict=True))] += probability * chance
    return dict(law)


ROWS: Rows = ((-0.5, 0.25, 2.0), (-1.0, 0.5, 3.0))
DRAWS = 3000


def draw_counts(treatment: str, mode: str) -> Counter[Rows]:
    counts: Counter[Rows] = Counter()
    for seed in range(DRAWS):
        result = benchmark.rewire(np.array(ROWS), treatment, seed=seed, mode=mode)  # type: ignore[call-overload]
        counts[tuple(map(tuple, result.tolist()))] += 1
    return counts


def p_value(counts: Mapping[Rows, int], law: Mapping[Rows, float]) -> float:
    """Chi-square goodness of fit; outcomes expected fewer than five times share a class."""
    assert set(counts) <= set(law)
    expected = np.array([probability * DRAWS for probability in law.values()])
    found = np.array([counts.get(outcome, 0) for outcome in law])
    rare = expected < 5
    if rare.any():
        expected = np.append(expected[~rare], expected[rare].sum())
        found = np.append(found[~rare], found[rare].sum())
    return float(stats.chisquare(found, expected).pvalue)


@pytest.mark.parametrize("offset", [1.0, 0.25])
def test_every_outcome_of_both_passes_has_the_probability_that_the_definition_gives_it(
    offset: float,
) -> None:
    """All 24 outcomes on a 2 x 3 matrix, alpha = 0.001.

    The power is above 0.999 against drawing uniformly, handing out the largest weight first and
    twice or half the offset; 0.96 against an offset 30 % too large.
    """
    law = law_of_pa(ROWS, offset)
    assert len(law) == 24
    assert sum(law.values()) == pytest.approx(1.0)
    assert p_value(draw_counts(f"pa(offset={offset})", "fast"), law) > 0.001


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_the_first_pass_has_the_same_law_in_both_modes(mode: str) -> None:
    """The second pass keeps every column's values, so they tell what the first one made.

    The law of both passes together differs: the published code draws them from one stream.
    """
    law = {columns_of(rows): probability for rows, probability in balanced(ROWS, 1.0).items()}
    assert len(law) == 6
    counts: Counter[Rows] = Counter()
    for rows, count in draw_counts("pa", mode).items():
        counts[columns_of(rows)] += count
    assert p_value(counts, law) > 0.001


def columns_of(rows: Rows) -> Rows:
    return tuple(tuple(sorted(column)) for column in zip(*rows, strict=True))


def he(rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng((seed, rows, columns))
    return rng.normal(0, math.sqrt(2 / columns), (rows, columns)).astype(np.float32)


def xavier_uniform(rows: int, columns: int, seed: int) -> np.ndarray:
    bound = math.sqrt(6 / (rows + columns))
    rng = np.random.default_rng(seed)
    return rng.uniform(-bound, bound, (rows, columns)).astype(np.float32)


def orthogonal(rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.normal(size=(rows, columns)))[0].astype(np.float32)


@pytest.mark.parametrize(
    ("base", "shape", "inputs", "outputs", "seeds"),
    [
        (he, (512, 512), 0.029, 0.030, 5),
        (xavier_uniform, (512, 512), 0.039, 0.042, 5),
        (orthogonal, (512, 512), 0.040, 0.038, 3),
        (he, (64, 64 * 3 * 3), 0.249, 0.021, 20),
        (he, (256, 1 * 5 * 5), 0.017, 0.204, 40),
        (he, (10, 512), 0.665, 0.053, 40),
    ],
    ids=["he", "xavier", "orthogonal", "conv", "depthwise", "head"],
)
def test_the_variance_left_is_within_half_of_what_the_published_code_leaves(
    base, shape: tuple[int, int], inputs: float, outputs: float, seeds: int
) -> None:
    """The published code's mean factors; small layers vary more and get more seeds."""
    left = []
    for seed in range(seeds):
        weight = base(*shape, seed)
        before = strength_variance(weight)
        after = strength_variance(benchmark.rewire(weight, "pa", seed=seed))
        left.append((after.inputs / before.inputs, after.outputs / before.outputs))
    assert np.mean(left, axis=0) == pytest.approx([inputs, outputs], rel=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "initializer", "factor"),
    [("resnet50", "kaiming_normal", 0.029), ("convmixer_256_8", "orthogonal", 0.064)],
)
def test_the_median_layer_of_a_network_keeps_what_the_published_code_leaves_it(
    architecture: str, initializer: str, factor: float
) -> None:
    scores: dict[str, list[float]] = {}
    for treatment in (initializer, f"{initializer}+pa"):
        model = models.build(architecture, channels=3, classes=10, image_size=32, seed=0)
        benchmark.initialize(model, treatment, seed=0)
        scores[treatment] = [
            strength_variance(weight.detach().numpy()).score for _, weight in describe(model)
        ]
    before, after = scores.values()
    assert np.median(np.divide(after, before)) == pytest.approx(factor, rel=0.5)


@pytest.mark.parametrize(
    ("std", "offset", "factor"),
    [
        (0.02, 1.0, 0.15),
        (math.sqrt(2 / 256), 1.0, 0.047),
        (1.0, 1.0, 0.012),
        (0.02, 0.02, 0.012),
    ],
)
def test_the_effect_depends_on_the_offset_in_units_of_the_weights(
    std: float, offset: float, factor: float
) -> None:
    """The published code's factors on 256x256 Gaussians; the last has the scale divided out."""
    factors = []
    for seed in range(3):
        weight = np.random.default_rng(seed).normal(0, std, (256, 256))
        after = benchmark.rewire(weight, f"pa(offset={offset})", seed=seed)
        factors.append(strength_variance(after).score / strength_variance(weight).score)
    assert np.median(factors) == pytest.approx(factor, rel=0.25)


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 8), columns=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_a_pass_permutes_every_row_but_the_first_within_itself(
    rows: int, columns: int, seed: int
) -> None:
    # Eighths add up exactly, in whatever order.
    matrix = np.random.default_rng(seed).integers(-1000, 1000, (rows, columns)) / 8.0
    inputs = benchmark.rewire(matrix, "pa_in", seed=seed)
    assert (np.sort(inputs, axis=1) == np.sort(matrix, axis=1)).all()
    assert (inputs.sum(axis=1) == matrix.sum(axis=1)).all()
    assert (inputs[0] == matrix[0]).all()
    outputs = benchmark.rewire(matrix, "pa_out", seed=seed)
    assert (np.sort(outputs, axis=0) == np.sort(matrix, axis=0)).all()
    assert (outputs.sum(axis=0) == matrix.sum(axis=0)).all()
    assert (outputs[:, 0] == matrix[:, 0]).all()


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1)])
def test_a_single_row_or_column_has_nothing_to_balance(shape: tuple[int, int]) -> None:
    weight = np.random.default_rng(0).normal(size=shape)
    assert (benchmark.rewire(weight, "pa", seed=1) == weight).all()


def test_a_column_is_an_input_channel_at_a_kernel_position() -> None:
    kernel = he(8, 18, 3)
    as_matrix = benchmark.rewire(kernel, "pa", seed=7)
    as_kernel = benchmark.rewire(kernel.reshape(8, 2, 3, 3), "pa", seed=7)
    assert (as_kernel == as_matrix.reshape(8, 2, 3, 3)).all()


def test_strengths_are_summed_in_float64_whatever_the_weights_are() -> None:
    """Behind -2048, float16 cannot tell the quarters by which the second row's columns differ."""
    weight = np.full((3, 32), -2048.0, np.float16)
    weight[1] = np.arange(32) / 4
    weight[2] = np.arange(32)
    for seed in range(3):
        narrow = benchmark.rewire(weight, "pa", seed=seed)
        assert (narrow == benchmark.rewire(weight.astype(np.float64), "pa", seed=seed)).all()
