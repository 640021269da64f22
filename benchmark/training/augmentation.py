"""Augmentation whose draws depend on the data seed and the epoch alone.

Every treatment of a cell, and every replica of a cohort, sees the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from benchmark.seeds import torch_generator


@dataclass(frozen=True)
class Draws:
    """What an epoch does to its images, in the order in which they come.

    `flips` bool [n]; `shifts` int64 [n, 2], rows and columns, from 0 to twice `padding`.
    """

    flips: torch.Tensor | None
    shifts: torch.Tensor | None
    padding: int


def draw(count: int, kinds: Sequence[str], image_size: int, data_seed: int, epoch: int) -> Draws:
    """Draw flips (probability 1/2) and shifts (up to an eighth of the side) for `count` images."""
    padding = max(image_size // 8, 1)
    flips = shifts = None
    if "flip" in kinds:
        generator = torch_generator(data_seed, "augmentation", "flip", epoch)
        flips = torch.rand(count, generator=generator) < 0.5
    if "shift_crop" in kinds:
        generator = torch_generator(data_seed, "augmentation", "shift_crop", epoch)
        shifts = torch.randint(0, 2 * padding + 1, (count, 2), generator=generator)
    return Draws(flips, shifts, padding)


def augment(images: torch.Tensor, draws: Draws, start: int) -> torch.Tensor:
    """Augment a batch uint8 [n, channels, side, side] by the draws from place `start` on.

    A shifted image is cropped from itself with a black border.
    """
    part = slice(start, start + len(images))
    if draws.shifts is not None:
        images = _crop(images, draws.shifts[part].to(images.device), draws.padding)
    if draws.flips is not None:
        flips = draws.flips[part].to(images.device)[:, None, None, None]
        images = torch.where(flips, images.flip(-1), images)
    return images


def _crop(images: torch.Tensor, shifts: torch.Tensor, padding: int) -> torch.Tensor:
    count, channels, height, width = images.shape
    device = images.device
    padded = functional.pad(images, (padding,) * 4)
    rows = torch.arange(height, device=device) + shifts[:, :1]
    columns = torch.arange(width, device=device) + shifts[:, 1:]
    return padded[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
