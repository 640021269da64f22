"""Rewiring: in every row the weights in ascending order, which makes the columns unequal.

The opposite of what preferential attachment (arXiv:2207.08148) does, and without chance: large
weights of every neuron sit on the same inputs, so that the strength of the inputs varies as much as
it can while every row keeps its values. A treatment to see whether strength variance matters.
"""

from benchmark import rewiring


@rewiring(
    "sorted_rows",
    summary="every row in ascending order: the largest strength variance of inputs",
    paper="control arm",
    permutes=True,
    deterministic=True,
)
def sorted_rows(matrix, rng) -> None:
    """Sort each row of the matrix [out, in] in place."""
    matrix.sort(axis=1)
