"""Preferential attachment at sorting speed: row after row, columns race for the sorted weights.

Drawing columns one by one without replacement, with probabilities proportional to an attachment
a_k, is sorting them by E_k / a_k with independent exponentials E_k (Efraimidis and Spirakis 2006).
So a row costs two sorts, of its keys and of its weights. Both are bucket sorts: a monotone map
spreads the values nearly evenly over as many buckets as there are values, and the few pairs that
share a bucket are put right afterwards. Buckets decide the speed alone; the order is that of the
float64 keys, ties in the order of columns.

The exponentials come from SplitMix64 (Steele, Lea, Flood 2014), numbered by row and column, and
from a logarithm made of IEEE additions, multiplications and divisions in a fixed order (the
polynomial of Sun's fdlibm): the same bytes on every machine, whatever its mathematical library.

All in one file, because numba looks for changes only in the file of the function that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_STRIP = 16
"""Columns of a matrix that are copied together: a cache line of float32."""

_CROWDED = 48
"""Rows with a bucket fuller than this are merge-sorted."""

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)
_SHIFT_12, _EXPONENT = np.uint64(12), np.int64(52)
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_LN_2 = 0.6931471805599453
_ONE, _HALF, _TWO = np.float32(1.0), np.float32(0.5), np.float32(2.0)

# IEEE division: a check for zero would keep loops from running at vector speed.
_inner = numba.njit(nogil=True, error_model="numpy")
# Sums that only choose buckets may be added up in any order.
_any_order = numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nnan", "nsz"})


def _entry(function: Callable[..., Any]) -> Any:
    """Compile and keep the code beside this file or, where that is read-only, in a user's cache."""
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder for it: compiled again in every process
        return _inner(function)


@_entry
def balance_columns(
    matrix: np.ndarray, seed: np.uint64, offset: float, draws: bool, descending: bool
) -> None:
    """Permute every row but the first of a C-contiguous float matrix within itself, in place.

    Columns get the sorted weights (from the largest down if `descending`) in the order in which
    they are drawn or, if nothing `draws`, from the strongest column to the weakest.
    """
    rows, columns = matrix.shape
    strength = np.zeros(columns)
    space = _workspace(matrix, columns)
    for t in range(rows):
        if t > 0:
            _rewire(matrix[t], t, strength, space, seed, offset, draws, descending)
        _add(strength, matrix[t])


@_entry
def balance_rows(
    matrix: np.ndarray, seed: np.uint64, offset: float, draws: bool, descending: bool
) -> None:
    """Do to the transpose of the matrix what `balance_columns` does, with no copy of it."""
    columns, rows = matrix.shape
    strength = np.zeros(columns)
    space = _workspace(matrix, columns)
    strip = np.empty((_STRIP, columns), matrix.dtype)
    for top in range(0, rows, _STRIP):
        height = min(_STRIP, rows - top)
        for k in range(columns):
            for i in range(height):
                strip[i, k] = matrix[k, top + i]
        for i in range(height):
            if top + i > 0:
                _rewire(strip[i], top + i, strength, space, seed, offset, draws, descending)
            _add(strength, strip[i])
        for k in range(columns):
            for i in range(height):
                matrix[k, top + i] = strip[i, k]


@_inner
def _workspace(matrix: np.ndarray, columns: int) -> tuple[np.ndarray, ...]:
    return (
        np.empty(columns),
        np.empty(columns),
        np.empty(columns),
        np.empty(columns, matrix.dtype),
        np.empty(columns, np.int32),
        np.empty(columns, np.int32),
        np.empty(columns, np.int32),
        np.empty(columns + 1, np.int32),
    )


@_inner
def _add(strength: np.ndarray, row: np.ndarray) -> None:
    for k in range(len(row)):
        strength[k] += row[k]


@_inner
def _rewire(
    row: np.ndarray,
    t: int,
    strength: np.ndarray,
    space: tuple[np.ndarray, ...],
    seed: np.uint64,
    offset: float,
    draws: bool,
    descending: bool,
) -> None:
    """Hand out the weights of row `t` by the strengths of the rows before it."""
    uniform, keys, sorted_keys, weights, drawn, order, bucket, count = space
    columns = len(row)
    if draws:
        _exponentials(seed, np.uint64(t) * np.uint64(columns), uniform, keys)
        _race(strength, offset, keys, bucket)
    else:
        for k in range(columns):
            keys[k] = -strength[k]
        _spread(keys, bucket)
    _sort(keys, bucket, count, sorted_keys, drawn)
    _spread(row, bucket)
    _sort(row, bucket, count, weights, order)
    if descending:
        for k in range(columns):
            row[drawn[k]] = weights[columns - 1 - k]
    else:
        for k in range(columns):
            row[drawn[k]] = weights[k]


@_inner
def _exponentials(seed: np.uint64, first: np.uint64, uniform: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` with standard exponentials: minus the logarithms of uniforms `first` and on."""
    for k in range(len(out)):
        z = seed + (first + np.uint64(k)) * _GAMMA
        z = (z ^ (z >> _SHIFT_30)) * _MIX_1
        z = (z ^ (z >> _SHIFT_27)) * _MIX_2
        z = z ^ (z >> _SHIFT_31)
        uniform[k] = (np.int64(z >> _SHIFT_12) + 0.5) * 2.0**-52
    bits = uniform.view(np.int64)
    for k in range(len(out)):
        # uniform = fraction * 2^exponent with sqrt(1/2) <= fraction < sqrt(2)
        exponent = (bits[k] - _SQRT_HALF_BITS) >> _EXPONENT
        bits[k] -= exponent << _EXPONENT
        out[k] = np.float64(exponent)
    for k in range(len(out)):
        # log(1 + f) = 2 atanh(s), which is f - (f^2/2 - s * (f^2/2 + tail)).
        f = uniform[k] - 1.0
        s = f / (2.0 + f)
        z = s * s
        tail = 1.531383769920937332e-01 + z * 1.479819860511658591e-01
        tail = 1.818357216161805012e-01 + z * tail
        tail = 2.222219843214978396e-01 + z * tail
        tail = 2.857142874366239149e-01 + z * tail
        tail = 3.999999999940941908e-01 + z * tail
        tail = z * (6.666666666666735130e-01 + z * tail)
        half = 0.5 * f * f
        out[k] = -(out[k] * _LN_2 - ((half - s * (half + tail)) - f))


@_inner
def _race(strength: np.ndarray, offset: float, keys: np.ndarray, bucket: np.ndarray) -> None:
    """Divide exponentials by attachments; a bucket is x / (1 + x) of a key x of mean about 1."""
    columns = len(keys)
    smallest, total = _smallest_and_sum(strength)
    shift = abs(smallest) + offset
    for k in range(columns):
        keys[k] = keys[k] / (strength[k] + shift)
    mean = total / columns + shift
    for k in range(columns):
        x = np.float32(keys[k] * mean)
        bucket[k] = _bucket(x / (_ONE + x), columns)


@_inner
def _spread(values: np.ndarray, bucket: np.ndarray) -> None:
    """Give each value a bucket by t / sqrt(2 + t^2) of its standard score t."""
    columns = len(values)
    total, squares = _sum_and_squares(values)
    mean = total / columns
    variance = squares / columns - mean * mean
    scale = np.float32(1.0 / np.sqrt(variance)) if variance > 0.0 else np.float32(0.0)
    center = np.float32(mean)
    for k in range(columns):
        t = (np.float32(values[k]) - center) * scale
        bucket[k] = _bucket(_HALF + _HALF * t / np.sqrt(_TWO + t * t), columns)


@_inner
def _bucket(share: np.float32, buckets: int) -> np.int32:
    """Return the bucket that holds a share of [0, 1); the last one for what is out of range."""
    place = share * np.float32(buckets)
    last = np.int32(buckets - 1)
    return min(np.int32(place), last) if place >= np.float32(0.0) else last


@_any_order
def _smallest_and_sum(values: np.ndarray) -> tuple[float, float]:
    smallest = values[0]
    total = 0.0
    for k in range(len(values)):
        smallest = values[k] if values[k] < smallest else smallest
        total += values[k]
    return smallest, total


@_any_order
def _sum_and_squares(values: np.ndarray) -> tuple[float, float]:
    total = 0.0
    squares = 0.0
    for k in range(len(values)):
        value = np.float64(values[k])
        total += value
        squares += value * value
    return total, squares


@_inner
def _sort(
    values: np.ndarray,
    bucket: np.ndarray,
    count: np.ndarray,
    out: np.ndarray,
    order: np.ndarray,
) -> None:
    """Sort the values, stably, into `out`, and where they come from into `order`."""
    size = len(values)
    count[:] = 0
    for k in range(size):
        count[bucket[k] + 1] += 1
    fullest = 0
    start = 0
    for b in range(size + 1):
        fullest = max(fullest, count[b])
        start += count[b]
        count[b] = start
    if fullest > _CROWDED:
        _merge_sort(values, out, order)
        return
    for k in range(size):
        place = count[bucket[k]]
        count[bucket[k]] = place + 1
        out[place] = values[k]
        order[place] = k
    for first in (0, 1, 0, 1):
        _swap_neighbours(out[first:], order[first:])
    for j in range(1, size):
        value = out[j]
        if out[j - 1] > value:
            source = order[j]
            i = j
            while i > 0 and out[i - 1] > value:
                out[i] = out[i - 1]
                order[i] = order[i - 1]
                i -= 1
            out[i] = value
            order[i] = source


@_inner
def _swap_neighbours(values: np.ndarray, order: np.ndarray) -> None:
    """Put every second pair of neighbours in order: without branches, hence at vector speed."""
    for j in range(len(values) // 2):
        left, right = values[2 * j], values[2 * j + 1]
        left_source, right_source = order[2 * j], order[2 * j + 1]
        swap = left > right
        values[2 * j] = right if swap else left
        values[2 * j + 1] = left if swap else right
        order[2 * j] = right_source if swap else left_source
        order[2 * j + 1] = left_source if swap else right_source


@_inner
def _merge_sort(values: np.ndarray, out: np.ndarray, order: np.ndarray) -> None:
    size = len(values)
    before = np.arange(size).astype(np.int32)
    width = 1
    while width < size:
        for low in range(0, size, 2 * width):
            middle, high = min(low + width, size), min(low + 2 * width, size)
            i, j = low, middle
            for k in range(low, high):
                if j == high or (i < middle and not values[before[j]] < values[before[i]]):
                    order[k] = before[i]
                    i += 1
                else:
                    order[k] = before[j]
                    j += 1
        before[:] = order
        width *= 2
    for k in range(size):
        out[k] = values[order[k]]
