"""No rewiring: the weights stay where the initializer put them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.plugins import rewiring

if TYPE_CHECKING:
    import numpy as np


@rewiring(
    "none",
    summary="weights stay in place",
    paper="control arm",
    permutes=True,
    deterministic=True,
)
def none(matrix: np.ndarray, rng: np.random.Generator) -> None:
    """Leave the matrix as it is."""
