"""What a data set hands on: images with labels, in memory or in files, and how to split them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import UsageError
from benchmark.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ArrayImages:
    """Images in memory: `pixels` uint8 [n, channels, height, width], `labels` int64 [n]."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class FileImages:
    """Images in files of any size, decoded when a batch needs them: `labels` int64 [n]."""

    paths: Sequence[str]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """A data set: its classes, and its images for training and for the final test.

    `mean` and `std` are per channel, of pixel values in [0, 1], over the training images.
    """

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: ArrayImages | FileImages
    test: ArrayImages | FileImages

    @property
    def channels(self) -> int:
        return len(self.mean)


def from_arrays(name: str, classes: int, train: ArrayImages, test: ArrayImages) -> Images:
    """Make a data set of arrays, with the mean and standard deviation of its training images.

    Raises UsageError where images, labels and classes do not fit together.
    """
    for part, images in (("training", train), ("test", test)):
        if images.pixels.ndim != 4 or images.pixels.dtype != np.uint8:
            raise UsageError(f"{name}: {part} images must be uint8 [n, channels, height, width]")
        if len(images.pixels) != len(images.labels) or not len(images.labels):
            raise UsageError(
                f"{name}: {counted(len(images.pixels), f'{part} image')}"
                f" with {counted(len(images.labels), 'label')}"
            )
        if images.labels.min() < 0 or images.labels.max() >= classes:
            raise UsageError(
                f"{name}: {part} labels run from {images.labels.min()} to {images.labels.max()},"
                f" but it has {classes} classes (0 to {classes - 1})"
            )
    scaled = train.pixels.astype(np.float64) / 255
    # By values and not by the deviation, which rounding lifts off zero.
    varies = train.pixels.max(axis=(0, 2, 3)) > train.pixels.min(axis=(0, 2, 3))
    return Images(
        classes=classes,
        mean=tuple(scaled.mean(axis=(0, 2, 3)).tolist()),
        std=tuple(np.where(varies, scaled.std(axis=(0, 2, 3)), 1.0).tolist()),
        train=train,
        test=test,
    )


def stratified_split(
    labels: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sorted indices that stay and those held out: `fraction` of every class.

    A class of at least two images keeps one on either side.
    """
    held: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held.append(rng.permutation(members)[:count])
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def missing_data(name: str, looked: Sequence[Path | str], remedy: str) -> UsageError:
    """Return the error for a data set that is not there: where it was looked for, how to get it."""
    places = ", ".join(str(place) for place in looked)
    return UsageError(f"data set {name!r} is not in {places}. {remedy}")
