"""Neuronal strength and the other measures of a layer that take neither data nor training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RANK_TOLERANCE = 1e-6
"""Singular values below this share of the largest count as zero: float32 keeps no smaller ones."""

_PLAIN = 1e-9

_ROW_TOLERANCE = 1e-6


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


@dataclass(frozen=True)
class LayerStatistics:
    """What a weight's matrix [out, in] shows by itself.

    `expected_strength` is the strength-variance score that independent weights of the same mean
    square would have, `gain` the root mean square times the root of fan_in: by how much the layer
    scales independent inputs of unit variance. `singular_max` and `singular_min` are of the matrix
    (of each group's, where a convolution is grouped; NaN unless asked for), `rank_share` is the
    share of singular values above RANK_TOLERANCE of the largest, `kurtosis` the excess over a
    normal distribution's, NaN for constant weights. `zero_rows` and `duplicate_rows` are shares of
    output neurons without any weight, and with the same weights on the same inputs as another
    before them.
    """

    strength: StrengthVariance
    expected_strength: float
    gain: float
    singular_max: float
    singular_min: float
    rank_share: float
    kurtosis: float
    zero_rows: float
    duplicate_rows: float

    @property
    def strength_ratio(self) -> float:
        """The strength-variance score as a multiple of that of independent weights."""
        if self.expected_strength == 0:
            return float("nan")
        return self.strength.score / self.expected_strength


def strength_variance(matrix: np.ndarray) -> StrengthVariance:
    """Return the strength variances of a matrix [out, in], summed in float64."""
    return StrengthVariance(
        inputs=_variance(matrix.sum(axis=0, dtype=np.float64)),
        outputs=_variance(matrix.sum(axis=1, dtype=np.float64)),
    )


def layer_statistics(
    matrix: np.ndarray, groups: int = 1, *, complete: bool = True
) -> LayerStatistics:
    """Return the statistics of a finite matrix [out, in], computed in float64.

    `groups` are those of a convolution: row i belongs to group i * groups // out. Unless
    `complete`, singular values are computed only where it is not plain that all of them count.
    """
    wide = matrix.astype(np.float64)
    rows, columns = wide.shape
    mean_square = float(np.mean(wide**2))
    sides = [size for size, other in ((rows, columns), (columns, rows)) if other > 1]
    blocks = wide.reshape(groups, rows // groups, columns)
    gram = _gram(blocks)
    if complete or not _has_full_rank(gram):
        singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
        largest, smallest = float(singular.max()), float(singular.min())
        rank_share = float(np.mean(singular > RANK_TOLERANCE * largest)) if largest else 0.0
    else:
        largest, smallest, rank_share = math.nan, math.nan, 1.0
    zero = ~wide.any(axis=1)
    return LayerStatistics(
        strength=strength_variance(wide),
        expected_strength=mean_square * sum(sides) / len(sides) if sides else float("nan"),
        gain=math.sqrt(columns * mean_square),
        singular_max=largest,
        singular_min=smallest,
        rank_share=rank_share,
        kurtosis=_excess_kurtosis(wide),
        zero_rows=float(zero.mean()),
        duplicate_rows=_duplicates(blocks, zero.reshape(groups, -1)) / rows,
    )


def _variance(sums: np.ndarray) -> float:
    return float(sums.var(ddof=1)) if len(sums) > 1 else float("nan")


def _gram(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smaller of the Gram matrices of each block [groups, out, in]."""
    if blocks.shape[1] > blocks.shape[2]:
        blocks = blocks.transpose(0, 2, 1)
    return blocks @ blocks.transpose(0, 2, 1)


def _has_full_rank(gram: NDArray[np.float64]) -> bool:
    """Whether every eigenvalue is plainly above what counts: by Cholesky, faster than to find it.

    The trace is no less than the largest eigenvalue, and _PLAIN is far above RANK_TOLERANCE^2 and
    what float64 rounds, so that an eigenvalue near either is left to those who compute it.
    """
    shift = _PLAIN * float(np.trace(gram, axis1=1, axis2=2).max())
    if shift <= 0:
        return False
    try:
        np.linalg.cholesky(gram - shift * np.eye(gram.shape[1]))
    except np.linalg.LinAlgError:
        return False
    return True


def _excess_kurtosis(values: NDArray[np.float64]) -> float:
    squares = np.square(values - values.mean())
    variance = float(squares.mean())
    return float(np.square(squares).mean()) / variance**2 - 3 if variance else float("nan")


def _duplicates(blocks: NDArray[np.float64], zero: NDArray[np.bool_]) -> int:
    """Count the rows that repeat another of their block; rows of zeros are counted elsewhere.

    Only rows with nearly the same product with a fixed direction are compared.
    """
    if blocks.shape[1] == 1:
        return 0
    direction = np.cos(np.arange(1, blocks.shape[2] + 1) ** 2)
    found = 0
    for block, empty in zip(blocks, zero, strict=True):
        rows = block[~empty]
        if len(rows) < 2:
            continue
        rows = rows[np.argsort(rows @ direction, kind="stable")]
        near = _ROW_TOLERANCE * np.abs(rows).max(axis=1)[1:, None]
        found += int((np.abs(np.diff(rows, axis=0)) <= near).all(axis=1).sum())
    return found
