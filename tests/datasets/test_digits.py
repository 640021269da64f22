"""The digits: real, complete, split the same way in every run."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmark.datasets.images import ArrayImages, Images
from benchmark.errors import UsageError
from benchmark.plugins import datasets
from tests.random_state import global_state_kept, seed_globals


def load() -> Images:
    return datasets.get("digits").function(None)


@pytest.fixture(scope="module")
def digits() -> Images:
    return load()


def rows(images: ArrayImages) -> list[tuple[int, ...]]:
    flat = images.pixels.reshape(len(images.pixels), -1)
    return [(int(label), *row) for label, row in zip(images.labels, flat.tolist(), strict=True)]


def test_training_and_test_images_are_all_of_scikit_learns(digits: Images) -> None:
    bunch = load_digits()
    pixels = np.rint(bunch.data * 255 / 16).astype(int).tolist()
    expected = [(int(label), *row) for label, row in zip(bunch.target, pixels, strict=True)]
    assert sorted(rows(digits.train) + rows(digits.test)) == sorted(expected)
    assert len(digits.train.labels) + len(digits.test.labels) == 1797


def test_the_whole_range_of_a_byte_is_used(digits: Images) -> None:
    assert digits.train.pixels.dtype == np.uint8
    assert (digits.train.pixels.min(), digits.train.pixels.max()) == (0, 255)


def test_the_sizes_are_those_declared(digits: Images) -> None:
    declared = datasets.get("digits")
    assert declared.train_size == len(digits.train.labels)
    assert declared.test_size == len(digits.test.labels)
    assert declared.channels == digits.channels
    assert declared.classes == digits.classes
    assert digits.train.pixels.shape[1:] == (1, 8, 8)


def test_a_fifth_of_every_class_is_the_test_set(digits: Images) -> None:
    for label in range(10):
        test = (digits.test.labels == label).sum()
        total = test + (digits.train.labels == label).sum()
        assert abs(test - total / 5) <= 0.5


def test_every_call_gives_the_same_split_whatever_the_global_random_state(digits: Images) -> None:
    seed_globals(5)
    with global_state_kept():
        again = load()
    for one, other in ((digits.train, again.train), (digits.test, again.test)):
        assert (one.pixels == other.pixels).all()
        assert (one.labels == other.labels).all()


def test_the_split_stays_what_it_was(digits: Images) -> None:
    """Committed records hold accuracies on this very test set."""
    assert digits.test.labels[:12].tolist() == [6, 9, 2, 4, 5, 0, 9, 6, 0, 4, 1, 3]
    assert int(digits.test.pixels.astype(np.int64).sum()) == 1_801_073


@pytest.mark.parametrize("installed", [False, True], ids=["no package", "no file in the package"])
def test_without_scikit_learns_file_the_error_says_how_to_get_it(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModuleSpec("sklearn", None, is_package=True) if installed else None
    if spec is not None:
        spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UsageError, match="'digits' comes with scikit-learn: pip install"):
        load()
