"""Neuronal strength: the signed sums of a layer's weights, and how much they vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StrengthVariance:
    """Variances (n - 1) of a layer's strengths: of inputs (columns), of outputs (rows).

    NaN for a side with a single neuron.
    """

    inputs: float
    outputs: float

    @property
    def score(self) -> float:
        """The mean of the two: the score of arXiv:2207.08148, the one side where one is NaN."""
        sides = [side for side in (self.inputs, self.outputs) if side == side]
        return sum(sides) / len(sides) if sides else float("nan")


def strength_variance(matrix: np.ndarray) -> StrengthVariance:
    """Return the strength variances of a matrix [out, in], summed in float64."""
    return StrengthVariance(
        inputs=_variance(matrix.sum(axis=0, dtype=np.float64)),
        outputs=_variance(matrix.sum(axis=1, dtype=np.float64)),
    )


def _variance(sums: np.ndarray) -> float:
    return float(sums.var(ddof=1)) if len(sums) > 1 else float("nan")
