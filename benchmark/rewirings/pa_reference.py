"""Preferential attachment drawn as the authors' code draws it, bit for bit."""

from __future__ import annotations

import numpy as np

from benchmark.plugins import rewiring
from benchmark.rewirings.balancing import Offset, balance_as_published


@rewiring(
    "pa_reference",
    summary="pa with the authors' stream of random numbers: slow, for reproduction",
    paper="arXiv:2207.08148",
    permutes=True,
)
def pa_reference(matrix: np.ndarray, rng: np.random.Generator, offset: Offset = 1.0) -> None:
    """Balance inputs, then outputs, with the same stream for both passes, as published.

    Given `numpy.random.default_rng(seed)`, the same bytes as the code beside arXiv:2207.08148.
    Raises UsageError for an offset that is not positive and finite.
    """
    balance_as_published(matrix, rng, offset=offset)
