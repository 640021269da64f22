"""Preferential attachment (PA) on neuronal strength: Scabini, De Baets, Bruno, arXiv:2207.08148.

Each row in turn hands its small weights to the columns whose strength is already large, so that
the column sums even out; then the same for the rows of the result. Weights only change place.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import numpy as np

from benchmark.errors import UsageError
from benchmark.plugins import rewiring

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def pa_reference(matrix: np.ndarray, rng: np.random.Generator, offset: float = 1.0) -> None:
    """Rewire as published, bit for bit: both passes draw from the same stream by `choice`."""
    same_stream = copy.deepcopy(rng)
    _balance_columns(matrix, rng, offset, _choice)
    _balance_columns(matrix.T, same_stream, offset, _choice)


@rewiring(
    "pa",
    summary="preferential attachment on strength, over inputs, then over outputs",
    paper="arXiv:2207.08148",
    permutes=True,
    reference=pa_reference,
)
def pa(matrix: np.ndarray, rng: np.random.Generator, offset: float = 1.0) -> None:
    """Balance the column sums, then the row sums, of the matrix [out, in], in place.

    `offset` is what the published algorithm adds to every attachment probability before it
    normalises; it makes the effect depend on the scale of the weights. Each pass has the same
    distribution as in `pa_reference`, drawn another way, and the passes are independent.
    Raises UsageError for an offset that is not positive and finite.
    """
    _balance_columns(matrix, rng, offset, _exponential_race)
    _balance_columns(matrix.T, rng, offset, _exponential_race)


def _balance_columns(
    matrix: np.ndarray, rng: np.random.Generator, offset: float, draw: Draw
) -> None:
    """Permute each row but the first in itself: the k-th drawn column gets its k-th smallest."""
    if not 0 < offset < np.inf:
        raise UsageError(f"pa(offset={offset}): the offset must be positive and finite")
    strength = np.zeros(matrix.shape[1], dtype=np.float64)
    for previous, row in itertools.pairwise(matrix):
        strength += previous
        attachment = strength + abs(strength.min()) + offset
        columns = draw(rng, attachment)
        row[columns] = np.sort(row)


def _choice(rng: np.random.Generator, attachment: np.ndarray) -> np.ndarray:
    size = len(attachment)
    return rng.choice(size, size=size, replace=False, p=attachment / np.sum(attachment))


def _exponential_race(rng: np.random.Generator, attachment: np.ndarray) -> np.ndarray:
    """Draw all columns without replacement: the order in which exponential clocks ring.

    Clocks with rates proportional to the attachment give successive draws without replacement
    (Efraimidis and Spirakis 2006).
    """
    return np.argsort(rng.standard_exponential(len(attachment)) / attachment)
