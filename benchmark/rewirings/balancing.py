"""Preferential attachment (PA) on neuronal strength, as published and compiled.

Scabini, De Baets, Bruno, arXiv:2207.08148. A pass over the matrix [out, in] goes through its rows
from the second on. A column's attachment is its strength so far (the sum of the rows before, as
already rewired) plus the magnitude of the smallest strength plus the offset. All columns are drawn,
one after another without replacement, with probabilities proportional to their attachments, and the
k-th drawn gets the row's k-th smallest weight: so columns even out and rows keep their values. One
pass evens out the strength of inputs; the same on the transpose that of outputs.
"""

from __future__ import annotations

import copy
import itertools
from typing import Annotated

import numpy as np
from annotated_types import Gt

from benchmark.errors import UsageError

Offset = Annotated[float, Gt(0)]
"""The annotation of a rewiring's offset: a positive, finite number."""


def balance(
    matrix: np.ndarray,
    rng: np.random.Generator,
    *,
    offset: float = 1.0,
    inputs: bool = True,
    outputs: bool = True,
    descending: bool = False,
) -> None:
    """Balance the strength of inputs, then of outputs, of a matrix [out, in], in place.

    `descending` hands out the largest weight first. Each pass draws one 64-bit seed from `rng` and
    has the law of a pass of `balance_as_published`; the passes are independent. Compiled on the
    first call on a machine, in some seconds, and kept on its disk.
    Raises UsageError for an offset that is not positive and finite, for weights that are not
    finite and for a dtype other than float16, float32 and float64.
    """
    from benchmark.rewirings.kernels.balance import balance_columns, balance_rows

    _check(matrix, offset)
    wide = np.float64 if matrix.dtype.itemsize == 8 else np.float32
    work = np.require(matrix, wide, ["C", "A", "W"])
    for wanted, one_pass in ((inputs, balance_columns), (outputs, balance_rows)):
        if wanted and matrix.size > 0:
            seed = rng.integers(2**64, dtype=np.uint64)
            one_pass(work, seed, float(offset), descending)
    if work is not matrix:
        matrix[...] = work


def balance_as_published(
    matrix: np.ndarray,
    rng: np.random.Generator,
    *,
    offset: float = 1.0,
    inputs: bool = True,
    outputs: bool = True,
    draws: bool = True,
    descending: bool = False,
) -> None:
    """Do what `balance` does as the authors' code does it, with numpy's `Generator.choice`.

    Like theirs, both passes draw from the same stream. Slow: about a microsecond a weight. Without
    `draws` columns are taken from the strongest to the weakest, and no random number is used.
    """
    _check(matrix, offset)
    same_stream = copy.deepcopy(rng)
    if inputs:
        _balance_columns(matrix, rng, offset, draws, descending)
    if outputs:
        _balance_columns(matrix.T, same_stream, offset, draws, descending)


def standard_deviation(matrix: np.ndarray) -> float:
    """Return the standard deviation of all entries, in float64, without a copy of the matrix."""
    parts = [matrix[start : start + 64] for start in range(0, len(matrix), 64)]
    mean = sum(float(part.sum(dtype=np.float64)) for part in parts) / max(matrix.size, 1)
    squares = (float(np.square(part - mean, dtype=np.float64).sum()) for part in parts)
    return float((sum(squares) / max(matrix.size, 1)) ** 0.5)


def _balance_columns(
    matrix: np.ndarray, rng: np.random.Generator, offset: float, draws: bool, descending: bool
) -> None:
    strength = np.zeros(matrix.shape[1], dtype=np.float64)
    for previous, row in itertools.pairwise(matrix):
        strength += previous
        if draws:
            attachment = strength + abs(strength.min()) + offset
            probabilities = attachment / np.sum(attachment)
            columns = rng.choice(len(row), size=len(row), replace=False, p=probabilities)
        else:
            columns = np.argsort(-strength, kind="stable")
        row[columns] = np.sort(row)[:: -1 if descending else 1]


def _check(matrix: np.ndarray, offset: float) -> None:
    if matrix.dtype not in (np.float16, np.float32, np.float64):
        raise UsageError(
            f"cannot balance strengths of dtype {matrix.dtype}; convert the weight to float32"
        )
    if not np.isfinite(matrix).all():
        raise UsageError("cannot balance strengths: the weight has entries that are not finite")
    if not 0 < offset < np.inf:
        raise UsageError(f"offset={offset}: the offset must be positive and finite")
