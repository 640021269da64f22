"""Preferential attachment at sorting speed: row after row, columns race for the sorted weights.

Drawing columns one by one without replacement, with probabilities proportional to an attachment
a_k, is sorting them by E_k / a_k with independent exponentials E_k (Efraimidis and Spirakis 2006),
or by 1 - a_k / (a_k + c E_k) for any c > 0. With c the mean attachment these keys lie nearly evenly
in [0, 1]. So a row costs two bucket sorts, of its keys and of its weights, with as many buckets as
columns; the few neighbours left in the wrong order are put right afterwards. A key carries its
column in its lowest bits: it keeps 53 - log2(columns) bits of its own, and keys that agree in all
of them (expected: 1e-5 pairs in a row of 4,096 columns) go in the order of columns.

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
_ONE_BITS = np.uint64(0x3FF0000000000000)
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_LN_2 = 0.6931471805599453
_HALF, _TWO = np.float32(0.5), np.float32(2.0)
# Unsigned, as everything that indexes here: a signed index could count from the end.
_FIRST = np.uint32(1)

# IEEE division: a check for zero would keep loops from running at vector speed.
_inner = numba.njit(nogil=True, error_model="numpy")
# A minimum is the same in any order, and so is a bucket sort whatever its buckets.
_any_order = numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nnan", "nsz"})


def _entry(function: Callable[..., Any]) -> Any:
    """Compile and keep the code beside this file or, where that is read-only, in a user's cache."""
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder for it: compiled again in every process
        return _inner(function)


@_entry
def balance_columns(matrix: np.ndarray, seed: np.uint64, offset: float, descending: bool) -> None:
    """Permute every row but the first of a C-contiguous float matrix within itself, in place.

    Columns get the sorted weights, from the largest down if `descending`, in the order in which
    they are drawn.
    """
    rows, columns = matrix.shape
    strength = np.zeros(columns)
    space = _workspace(matrix, columns)
    for t in range(rows):
        if t > 0:
            _rewire(matrix[t], t, strength, space, seed, offset, descending)
        _add(strength, matrix[t])


@_entry
def balance_rows(matrix: np.ndarray, seed: np.uint64, offset: float, descending: bool) -> None:
    """Do to the transpose of the matrix what `balance_columns` does, with no copy of it."""
    columns, rows = matrix.shape
    strength = np.zeros(columns)
    space = _workspace(matrix, columns)
    # Padded, lest rows a power of two apart push each other out of the cache.
    strip = np.empty((_STRIP, columns + _STRIP), matrix.dtype)
    for top in range(0, rows, _STRIP):
        height = min(_STRIP, rows - top)
        for k in range(columns):
            if height == _STRIP:  # a loop of known length, which is unrolled
                for i in range(_STRIP):
                    strip[i, k] = matrix[k, top + i]
            else:
                for i in range(height):
                    strip[i, k] = matrix[k, top + i]
        for i in range(height):
            row = strip[i, :columns]
            if top + i > 0:
                _rewire(row, top + i, strength, space, seed, offset, descending)
            _add(strength, row)
        for k in range(columns):
            if height == _STRIP:
                for i in range(_STRIP):
                    matrix[k, top + i] = strip[i, k]
            else:
                for i in range(height):
                    matrix[k, top + i] = strip[i, k]


@_inner
def _workspace(matrix: np.ndarray, columns: int) -> tuple[np.ndarray, ...]:
    return (
        np.empty(columns),
        np.empty(columns),
        np.empty(columns, np.uint64),
        np.empty(columns, matrix.dtype),
        np.empty(columns, np.uint32),
        np.empty(columns, np.uint32),
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
    descending: bool,
) -> None:
    """Hand out the weights of row `t` by the strengths of the rows before it."""
    uniform, keys, drawn, weights, bucket, count = space
    columns = len(row)
    _exponentials(seed, np.uint64(t) * np.uint64(columns), uniform, keys)
    column_bits = _race(strength, offset, keys, bucket)
    _sort(keys.view(np.uint64), bucket, count, drawn)
    _spread(row, bucket)
    _sort(row, bucket, count, weights)
    if descending:
        for k in range(columns):
            row[drawn[k] & column_bits] = weights[columns - 1 - k]
    else:
        for k in range(columns):
            row[drawn[k] & column_bits] = weights[k]


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
def _race(strength: np.ndarray, offset: float, keys: np.ndarray, bucket: np.ndarray) -> np.uint64:
    """Turn exponentials into keys with their column in the lowest bits; return that bit mask."""
    columns = len(keys)
    shift = abs(_smallest(strength)) + offset
    step = 1 + columns // 16
    typical = 0.0
    for k in range(0, columns, step):
        typical += strength[k] + shift
    typical /= (columns + step - 1) // step
    column_bits = np.uint64(1)
    while column_bits < np.uint64(columns):
        column_bits *= np.uint64(2)
    column_bits -= np.uint64(1)
    packed = keys.view(np.uint64)
    last = np.int32(columns - 1)
    for k in range(columns):
        attachment = strength[k] + shift
        share = attachment / (attachment + typical * keys[k])
        place = (1.0 - share) * columns
        # The last bucket takes what is not a number, too.
        bucket[k] = min(np.int32(place), last) if place < columns else last
        keys[k] = share
    for k in range(columns):
        packed[k] = ((_ONE_BITS - packed[k]) & ~column_bits) | np.uint64(k)
    return column_bits


@_inner
def _spread(values: np.ndarray, bucket: np.ndarray) -> None:
    """Give each value a bucket by t / sqrt(2 + t^2) of its standard score t."""
    columns = len(values)
    total, squares = _sum_and_squares(values)
    mean = total / columns
    variance = squares / columns - mean * mean
    scale = np.float32(1.0 / np.sqrt(variance)) if variance > 0.0 else np.float32(0.0)
    center = np.float32(mean)
    buckets = np.float32(columns)
    last = np.int32(columns - 1)
    for k in range(columns):
        t = (np.float32(values[k]) - center) * scale
        place = (_HALF + _HALF * t / np.sqrt(_TWO + t * t)) * buckets
        bucket[k] = min(np.int32(place), last) if place > _HALF else 0


@_any_order
def _smallest(values: np.ndarray) -> float:
    smallest = values[0]
    for k in range(len(values)):
        smallest = values[k] if values[k] < smallest else smallest
    return smallest


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
def _sort(values: np.ndarray, bucket: np.ndarray, count: np.ndarray, out: np.ndarray) -> None:
    """Write the values into `out`, sorted; equal ones keep their order."""
    size = len(values)
    count[:] = 0
    for k in range(size):
        count[bucket[k]] += _FIRST
    fullest = np.uint32(0)
    start = np.uint32(0)
    for b in range(size):
        held = count[b]
        fullest = max(fullest, held)
        count[b] = start
        start += held
    if fullest > _CROWDED:
        out[:] = values
        _merge_sort(out)
        return
    for k in range(size):
        place = count[bucket[k]]
        count[bucket[k]] = place + _FIRST
        out[place] = values[k]
    for first in (0, 1, 0):
        _swap_neighbours(out[first:])
    for j in range(1, size):
        value = out[j]
        if out[j - 1] > value:
            i = j
            while i > 0 and out[i - 1] > value:
                out[i] = out[i - 1]
                i -= 1
            out[i] = value


@_inner
def _swap_neighbours(values: np.ndarray) -> None:
    """Put every second pair of neighbours in order: without branches, hence at vector speed."""
    for j in range(len(values) // 2):
        left, right = values[2 * j], values[2 * j + 1]
        swap = left > right
        values[2 * j] = right if swap else left
        values[2 * j + 1] = left if swap else right


@_inner
def _merge_sort(values: np.ndarray) -> None:
    size = len(values)
    merged = np.empty_like(values)
    width = 1
    while width < size:
        for low in range(0, size, 2 * width):
            middle, high = min(low + width, size), min(low + 2 * width, size)
            i, j = low, middle
            for k in range(low, high):
                if j == high or (i < middle and values[i] <= values[j]):
                    merged[k] = values[i]
                    i += 1
                else:
                    merged[k] = values[j]
                    j += 1
        values[:] = merged
        width *= 2
