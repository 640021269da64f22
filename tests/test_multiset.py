"""The fingerprint of a matrix's values."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.multiset import fingerprint


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_places_do_not_matter_and_every_value_does(dtype: type) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 250)).astype(dtype)
    before = fingerprint(matrix)
    assert fingerprint(rng.permutation(matrix.ravel()).reshape(250, 300)) == before
    for place in ((0, 0), (131, 17), (299, 249)):
        changed = matrix.copy()
        changed[place] = np.nextafter(changed[place], dtype(9))
        assert fingerprint(changed) != before


def test_how_often_a_value_occurs_matters() -> None:
    assert fingerprint(np.array([[1.0, 1.0, 2.0]])) != fingerprint(np.array([[1.0, 2.0, 2.0]]))
    assert fingerprint(np.array([[1.0, 4.0]])) != fingerprint(np.array([[2.0, 3.0]]))


def test_the_two_zeros_are_one_value() -> None:
    assert fingerprint(np.array([[0.0, 1.0]])) == fingerprint(np.array([[1.0, -0.0]]))
