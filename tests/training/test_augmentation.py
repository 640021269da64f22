"""Augmentation: paired draws, exact flips and shifts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.training.augmentation import Draws, augment, draw
from tests.random_state import global_state_kept, seed_globals

BOTH = ("flip", "shift_crop")


def pictures(count: int = 6, channels: int = 2, side: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    size = (count, channels, side, side)
    return torch.randint(1, 256, size, generator=generator, dtype=torch.uint8)


def equal(one: Draws, other: Draws) -> bool:
    return torch.equal(one.flips, other.flips) and torch.equal(one.shifts, other.shifts)


def test_draws_depend_on_the_data_seed_and_the_epoch() -> None:
    base = draw(64, BOTH, 32, data_seed=0, epoch=1)
    assert equal(base, draw(64, BOTH, 32, data_seed=0, epoch=1))
    for other in (draw(64, BOTH, 32, 1, 1), draw(64, BOTH, 32, 0, 2)):
        assert not torch.equal(base.flips, other.flips)
        assert not torch.equal(base.shifts, other.shifts)


def test_one_augmentation_does_not_shift_the_draws_of_the_other() -> None:
    both = draw(64, BOTH, 32, 0, 1)
    flips, shifts = (draw(64, (kind,), 32, 0, 1) for kind in BOTH)
    assert torch.equal(both.flips, flips.flips)
    assert torch.equal(both.shifts, shifts.shifts)
    assert flips.shifts is None
    assert shifts.flips is None
    assert equal(both, draw(64, BOTH[::-1], 32, 0, 1))


def test_draws_neither_read_nor_disturb_global_random_state() -> None:
    drawn = []
    for seed in (1, 2):
        seed_globals(seed)
        with global_state_kept():
            drawn.append(draw(64, BOTH, 32, 0, 1))
    assert equal(*drawn)


def test_half_the_pictures_are_flipped() -> None:
    """10,000 draws: four standard errors are 0.02."""
    flips = draw(10_000, ("flip",), 32, 0, 1).flips
    assert abs(float(flips.float().mean()) - 0.5) < 0.02


@pytest.mark.parametrize(("side", "padding"), [(32, 4), (8, 1), (4, 1), (224, 28)])
def test_shifts_reach_an_eighth_of_the_side_in_both_directions_and_no_further(
    side: int, padding: int
) -> None:
    """Uniform: each of the values has its share within five standard errors."""
    draws = draw(20_000, ("shift_crop",), side, 0, 1)
    assert draws.padding == padding
    values = 2 * padding + 1
    for axis in range(2):
        counts = np.bincount(draws.shifts[:, axis].numpy())
        assert len(counts) == values
        assert np.abs(counts - 20_000 / values).max() < 5 * np.sqrt(20_000 / values)
    assert abs(np.corrcoef(draws.shifts.T)[0, 1]) < 0.04


def test_a_shifted_picture_is_a_slice_of_itself_with_a_black_border() -> None:
    images = pictures(count=25, side=16)
    shifts = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    result = augment(images, Draws(None, shifts, 2), 0)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    for number, (row, column) in enumerate(shifts.tolist()):
        expected = padded[number, :, row : row + 16, column : column + 16]
        assert (result[number].numpy() == expected).all()
    assert torch.equal(result[12], images[12])


def test_a_flip_mirrors_left_and_right_and_only_where_drawn() -> None:
    images = pictures(count=3)
    result = augment(images, Draws(torch.tensor([True, False, True]), None, 1), 0)
    assert (result[0].numpy() == images[0].numpy()[:, :, ::-1]).all()
    assert torch.equal(result[1], images[1])
    assert (result[2].numpy() == images[2].numpy()[:, :, ::-1]).all()


def test_no_augmentation_gives_the_pictures_as_they_are() -> None:
    images = pictures()
    assert augment(images, draw(6, (), 8, 0, 1), 0) is images


@pytest.mark.parametrize("size", [1, 4, 7, 20])
def test_a_picture_gets_the_draw_of_its_place_in_the_epoch_however_it_is_batched(
    size: int,
) -> None:
    images = pictures(count=20, side=16)
    draws = draw(20, BOTH, 16, 0, 1)
    whole = augment(images, draws, 0)
    parts = [augment(images[at : at + size], draws, at) for at in range(0, 20, size)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(whole, images)
    assert whole.dtype == torch.uint8


def test_the_given_pictures_stay_as_they_are() -> None:
    images = pictures()
    before = images.clone()
    augment(images, draw(6, BOTH, 8, 0, 1), 0)
    assert torch.equal(images, before)
