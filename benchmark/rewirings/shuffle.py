"""The control arm: every entry of a layer shuffled, which keeps values and destroys structure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.plugins import rewiring

if TYPE_CHECKING:
    import numpy as np


@rewiring(
    "shuffle",
    summary="all entries of the layer shuffled: structure goes, values stay",
    paper="control arm",
    permutes=True,
)
def shuffle(matrix: np.ndarray, rng: np.random.Generator) -> None:
    """Permute all entries of the matrix [out, in] uniformly at random, in place."""
    matrix[...] = rng.permutation(matrix.ravel()).reshape(matrix.shape)
