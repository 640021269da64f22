"""What data sets hand on: checked arrays, statistics of the training images, stratified splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.datasets.images import ArrayImages, from_arrays, missing_data, stratified_split
from benchmark.errors import UsageError


def images(count: int = 4, channels: int = 2, labels: list[int] | None = None) -> ArrayImages:
    pixels = np.random.default_rng(count).integers(0, 256, (count, channels, 3, 3), dtype=np.uint8)
    return ArrayImages(pixels, np.array(labels if labels is not None else [0] * count, np.int64))


def test_mean_and_standard_deviation_are_those_of_the_training_images_by_channel() -> None:
    pixels = np.zeros((2, 2, 1, 2), np.uint8)
    pixels[:, 0] = [[[0, 255]], [[0, 255]]]
    pixels[:, 1] = [[[51, 51]], [[153, 153]]]
    train = ArrayImages(pixels, np.array([0, 1]))
    found = from_arrays("made", 2, train, images(channels=2))
    assert found.mean == pytest.approx((0.5, 0.4))
    assert found.std == pytest.approx((0.5, 0.2))
    assert found.channels == 2
    assert found.classes == 2


def test_a_channel_without_variation_is_not_divided_by_zero() -> None:
    constant = ArrayImages(np.full((3, 1, 2, 2), 7, np.uint8), np.zeros(3, np.int64))
    assert from_arrays("made", 1, constant, images(channels=1)).std == (1.0,)


@pytest.mark.parametrize("part", ["training", "test"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3], r"{part} labels run from 0 to 3, but it has 3 classes \(0 to 2\)"),
        ([0, 1, -1, 2], "{part} labels run from -1 to 2"),
        ([0, 1, 2], "4 {part} images with 3 labels"),
        ([], "4 {part} images with 0 labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(part: str, labels: list[int], message: str) -> None:
    parts = {"training": images(), "test": images(), part: images(labels=labels)}
    with pytest.raises(UsageError, match="made: " + message.format(part=part)):
        from_arrays("made", 3, *parts.values())


def test_no_images_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="0 test images with 0 labels"):
        from_arrays("made", 3, images(), images(count=0))


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 3, 3), np.uint8), np.zeros((4, 1, 3, 3), np.float32)]
)
def test_pixels_of_another_shape_or_type_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(UsageError, match="training images must be uint8"):
        from_arrays("made", 3, ArrayImages(pixels, np.zeros(4, np.int64)), images())


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    fraction=st.floats(0.01, 0.5),
    seed=st.integers(0, 1000),
)
def test_a_split_holds_the_fraction_of_every_class_out(
    labels: list[int], fraction: float, seed: int
) -> None:
    array = np.array(labels)
    stays, held_out = stratified_split(array, fraction, np.random.default_rng(seed))
    assert sorted([*stays, *held_out]) == list(range(len(array)))
    assert (np.diff(stays) > 0).all()
    assert (np.diff(held_out) > 0).all()
    for label in np.unique(array):
        size, held = (array == label).sum(), (array[held_out] == label).sum()
        if size == 1:
            assert held == 0
        else:
            assert 1 <= held < size
            assert abs(held - fraction * size) < 1


def test_a_split_is_a_function_of_its_generator() -> None:
    labels = np.arange(100) % 5
    first, again, other = (
        stratified_split(labels, 0.2, np.random.default_rng(seed))[1] for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_a_missing_data_set_says_where_it_was_looked_for_and_how_to_get_it() -> None:
    error = missing_data("made", ["here", "there"], "Make it.")
    assert isinstance(error, UsageError)
    assert str(error) == "data set 'made' is not in here, there. Make it."
