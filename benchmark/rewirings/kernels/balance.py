"""Preferential attachment at sorting speed: row after row, columns race for the sorted weights.

Drawing columns one by one without replacement, with probabilities proportional to an attachment
a_k, is sorting them by E_k / a_k with independent exponentials E_k (Efraimidis and Spirakis 2006).
So a row costs two bucket sorts, of these keys and of its weights, over as many buckets as columns;
the few neighbours left in the wrong order are put right afterwards. A key carries its column in its
lowest bits: it keeps 53 - log2(columns) bits of its own, and keys that agree in all of them
(expected: 1e-5 pairs in a row of 4,096 columns) go in the order of columns.

The exponentials come from SplitMix64 (Steele, Lea, Flood 2014), numbered by row and column, and
from a logarithm made of IEEE additions, multiplications and divisions in a fixed order: the same
bytes on every machine, whatever its mathematical library. Its relative error stays below 1e-13,
finer than a row's keys. Only buckets are approximate: no result depends on them.

All in one file, because numba looks for changes only in the file of the function that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_STRIP = 16
"""Columns of a matrix that are copied together: a cache line of float32."""

_PATIENCE = 16
"""Rows whose values move further than this on average are merge-sorted."""

_MOST_COLUMNS = 2**16 - 1
"""Wider rows are merge-sorted: a place in a row takes 16 bits."""

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)
_SHIFT_12, _EXPONENT = np.uint64(12), np.int64(52)
_SIGN, _ALL_BUT_SIGN = np.int64(63), np.int64(2**63 - 1)
_ONE_BITS = np.uint64(0x3FF0000000000000)
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_LN_2 = 0.6931471805599453
# -log2(m) = -2 atanh(s) / ln 2 = s (_LOG_0 + _LOG_1 s^2 + ... + _LOG_5 s^10), s = (m-1) / (m+1):
# the polynomial of least relative error, 3e-14, for sqrt(1/2) <= m < sqrt(2).
_LOG_0, _LOG_1, _LOG_2 = -2.88539008177785, -0.9617966941133066, -0.5770779423768015
_LOG_3, _LOG_4, _LOG_5 = -0.4122092510534761, -0.31990575510624353, -0.282899281459652
_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1.0), np.float32(2.0)
# Unsigned, as everything that indexes here: a signed index could count from the end.
_NEXT = np.uint16(1)

# IEEE division: a check for zero would keep loops from running at vector speed.
_inner = numba.njit(nogil=True, error_model="numpy")
# For what buckets are made from: a sort comes out the same whatever its buckets.
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
        np.empty(columns, np.uint16),
        np.empty(columns, np.uint16),
        np.empty((columns, 2), np.uint16),
        np.zeros(columns // 8 * 8 + 8, np.uint8),
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
    uniform, keys, drawn, weights, key_bucket, weight_bucket, start, wrong = space
    columns = len(row)
    packed = keys.view(np.uint64)
    _uniforms(seed + np.uint64(t) * np.uint64(columns) * _GAMMA, uniform)
    column_bits = _race(strength, offset, uniform, keys, key_bucket)
    if columns <= _MOST_COLUMNS:
        _spread(row, weight_bucket)
        _start_buckets(key_bucket, weight_bucket, start)
        _fill(packed, key_bucket, start[:, 0], drawn)
        _fill(row, weight_bucket, start[:, 1], weights)
    else:
        drawn[:] = packed
        weights[:] = row
    _mend(drawn, weights, wrong)
    if descending:
        for k in range(columns):
            row[drawn[k] & column_bits] = weights[columns - 1 - k]
    else:
        for k in range(columns):
            row[drawn[k] & column_bits] = weights[k]


@_inner
def _uniforms(state: np.uint64, out: np.ndarray) -> None:
    """Fill `out` with uniforms, the odd multiples of 2^-53, from the states that follow `state`."""
    bits = out.view(np.uint64)
    for k in range(len(out)):
        z = state
        state += _GAMMA
        z = (z ^ (z >> _SHIFT_30)) * _MIX_1
        z = (z ^ (z >> _SHIFT_27)) * _MIX_2
        z = z ^ (z >> _SHIFT_31)
        # Bits of a fraction behind those of 1: cheaper than a conversion of integers, and exact.
        bits[k] = (z >> _SHIFT_12) | _ONE_BITS
        out[k] = (out[k] - 1.0) + 2.0**-53


@_inner
def _race(
    strength: np.ndarray, offset: float, uniform: np.ndarray, keys: np.ndarray, bucket: np.ndarray
) -> np.uint64:
    """Make keys with their column in the lowest bits, and buckets; return the mask of those bits.

    A key is an exponential, minus the logarithm of a uniform, over the attachment; to the base 2,
    as only the order of keys matters.
    """
    columns = len(keys)
    shift = abs(_smallest(strength, keys)) + offset
    bits = uniform.view(np.int64)
    for k in range(columns):
        # uniform = fraction * 2^exponent with sqrt(1/2) <= fraction < sqrt(2)
        exponent = (bits[k] - _SQRT_HALF_BITS) >> _EXPONENT
        bits[k] -= exponent << _EXPONENT
        fraction = uniform[k]
        s = (fraction - 1.0) / (fraction + 1.0)
        z = s * s
        tail = _LOG_3 + z * (_LOG_4 + z * _LOG_5)
        tail = _LOG_0 + z * (_LOG_1 + z * (_LOG_2 + z * tail))
        keys[k] = (s * tail - np.float64(exponent)) / (strength[k] + shift)
    column_bits = np.uint64(1)
    while column_bits < np.uint64(columns):
        column_bits *= np.uint64(2)
    column_bits -= np.uint64(1)
    packed = keys.view(np.uint64)
    some = strength[:: 1 + columns // 16]
    scale = (_sum_and_squares(some)[0] / len(some) + shift) * _LN_2
    last = np.float32(columns - 1)
    for k in range(columns):
        # 1 - exp(-x) would spread the keys evenly; exp(x) is about 1 + x + x^2 / 2.
        x = np.float32(keys[k] * scale)
        place = last - last / (_ONE + x * (_ONE + _HALF * x))
        # The last bucket takes what is not a number, too.
        bucket[k] = np.uint16(np.int32(place if place < last else last))
        packed[k] = (packed[k] & ~column_bits) | np.uint64(k)
    return column_bits


@_inner
def _smallest(values: np.ndarray, space: np.ndarray) -> float:
    """Return the smallest value; `space` is overwritten."""
    # As integers of the same order: LLVM would compare floats one by one.
    bits = values.view(np.int64)
    least = _ALL_BUT_SIGN
    for k in range(len(bits)):
        least = min(least, bits[k] ^ ((bits[k] >> _SIGN) & _ALL_BUT_SIGN))
    space.view(np.int64)[0] = least ^ ((least >> _SIGN) & _ALL_BUT_SIGN)
    return space[0]


@_inner
def _spread(values: np.ndarray, bucket: np.ndarray) -> None:
    """Give each value a bucket by t / sqrt(2 + t^2) of its standard score t."""
    columns = len(values)
    total, squares = _sum_and_squares(values)
    mean = total / columns
    variance = squares / columns - mean * mean
    scale = np.float32(1.0 / np.sqrt(variance)) if variance > 0.0 else np.float32(0.0)
    center = np.float32(mean)
    buckets, last = np.float32(columns), np.int32(columns - 1)
    for k in range(columns):
        t = (np.float32(values[k]) - center) * scale
        place = (_HALF + _HALF * t / np.sqrt(_TWO + t * t)) * buckets
        bucket[k] = np.uint16(min(np.int32(place), last) if place > _HALF else 0)


@_any_order
def _sum_and_squares(values: np.ndarray) -> tuple[float, float]:
    total, squares = 0.0, 0.0
    for k in range(len(values)):
        value = np.float64(values[k])
        total += value
        squares += value * value
    return total, squares


@_inner
def _start_buckets(first: np.ndarray, second: np.ndarray, start: np.ndarray) -> None:
    """Write where in the sorted order each bucket starts, for both sorts: `start` [buckets, 2]."""
    both = start.view(np.uint32)[:, 0]
    both[:] = 0
    for k in range(len(first)):
        start[first[k], 0] += _NEXT
    for k in range(len(second)):
        start[second[k], 1] += _NEXT
    # Sums wait for one another, so that those of both sorts are added as one number.
    total = np.uint32(0)
    for b in range(len(both)):
        held = both[b]
        both[b] = total
        total += held


@_inner
def _fill(values: np.ndarray, bucket: np.ndarray, start: np.ndarray, out: np.ndarray) -> None:
    """Write the values into `out`, bucket after bucket; `start` becomes where buckets end."""
    for k in range(len(values)):
        place = start[bucket[k]]
        start[bucket[k]] = place + _NEXT
        out[place] = values[k]


@_inner
def _mend(first: np.ndarray, second: np.ndarray, wrong: np.ndarray) -> None:
    """Sort two arrays with few values far from their place; equal ones keep their order."""
    size = len(first)
    for odd in (0, 1, 0, 1):
        _swap_neighbours(first[odd:])
        _swap_neighbours(second[odd:])
    for j in range(1, size):
        wrong[j] = (first[j - 1] > first[j]) | (second[j - 1] > second[j])
    # Eight places are looked at as one number: hardly a branch, as most numbers are 0.
    eights = wrong.view(np.uint64)
    moves = 0
    for eight in range(len(eights)):
        if eights[eight] != 0:
            j, end = 8 * eight, 8 * eight + 8
            # Past the end as long as a larger value has come before the next one.
            while j < size and (j < end or first[j - 1] > first[j] or second[j - 1] > second[j]):
                moves += _insert(first, j) + _insert(second, j)
                j += 1
                if moves > _PATIENCE * size:
                    _merge_sort(first)
                    _merge_sort(second)
                    return


@_inner
def _insert(values: np.ndarray, j: int) -> int:
    """Move value `j` down to its place among the sorted ones before it; return how far."""
    value = values[j]
    i = j
    while i > 0 and values[i - 1] > value:
        values[i] = values[i - 1]
        i -= 1
    values[i] = value
    return j - i


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
