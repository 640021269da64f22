"""The data of a cell, ready for the device: its split, its image size, its stream of batches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.nn import functional

from benchmark.datasets.images import ArrayImages, FileImages, Images, stratified_split
from benchmark.recipe import Recipe
from benchmark.seeds import numpy_generator, torch_generator
from benchmark.training.augmentation import augment, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVALUATION_BATCH = 500
DECODERS = 4
BATCHES_AHEAD = 3

Batch = tuple[torch.Tensor, torch.Tensor]


class DataError(Exception):
    """An image that this machine cannot read: no fault of whatever is trained on it."""


class Pixels(Protocol):
    """Images of one size that come in batches, uint8 [n, channels, side, side], on the device."""

    def stream(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the images of each batch of indices."""


class MemoryPixels:
    """Images that lie on the device, or beside it where they do not fit."""

    def __init__(self, images: ArrayImages, image_size: int, device: torch.device) -> None:
        pixels = resize(torch.from_numpy(images.pixels), image_size)
        self._pixels = pixels.to(device) if _fits(pixels, device) else pixels
        self._device = device

    def stream(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        for indices in batches:
            yield self._pixels[indices.to(self._pixels.device)].to(self._device)


class FilePixels:
    """Images in files, decoded, resized and centre-cropped by threads.

    Threads, for Pillow works without Python's lock: nothing is copied between processes, and none
    is forked from one that runs Ray, a compiler's or OpenMP's threads. They work while a GPU
    trains; on a CPU, training would wait at every barrier for the core that they have taken.
    """

    def __init__(self, images: FileImages, image_size: int, device: torch.device) -> None:
        from torchvision.transforms import v2

        self._paths = images.paths
        self._side = image_size
        self._transform = v2.Compose([v2.Resize(image_size), v2.CenterCrop(image_size)])
        self._device = device
        beside = device.type != "cpu"
        self._ahead = BATCHES_AHEAD if beside else 0
        self._threads = min(DECODERS, os.cpu_count() or 1) if beside else torch.get_num_threads()

    def stream(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        pool = ThreadPoolExecutor(self._threads, "decoder")
        begun = (self._begin(pool, indices) for indices in batches)
        ahead = deque(islice(begun, self._ahead))
        try:
            while True:
                ahead.extend(islice(begun, 1))
                if not ahead:
                    return
                pixels, decoding = ahead.popleft()
                for image in decoding:
                    image.result()
                yield pixels.to(self._device, non_blocking=True)
        finally:
            pool.shutdown(cancel_futures=True)

    def _begin(
        self, pool: ThreadPoolExecutor, indices: torch.Tensor
    ) -> tuple[torch.Tensor, list[Future[None]]]:
        """Return the pixels of a batch and the work that fills them."""
        shape = (len(indices), 3, self._side, self._side)
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        places = pixels.numpy()
        return pixels, [
            pool.submit(self._decode, self._paths[index], places[number])
            for number, index in enumerate(indices.tolist())
        ]

    def _decode(self, path: str, out: NDArray[np.uint8]) -> None:
        from PIL import Image

        try:
            with Image.open(path) as image:
                out[:] = np.asarray(self._transform(image.convert("RGB"))).transpose(2, 0, 1)
        except MemoryError:
            raise
        except Exception as error:  # A decoder's own: ValueError, a bomb's, a SyntaxError.
            raise DataError(f"cannot decode the image {path}: {error}") from error


@dataclass(frozen=True)
class Split:
    """Images with labels (int64 [n], on the device), to be cut into batches."""

    pixels: Pixels
    labels: torch.Tensor
    indices: torch.Tensor

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class CellData:
    """What a cell trains, validates and is tested on."""

    train: Split
    validation: Split
    test: Split
    classes: int
    channels: int
    image_size: int
    mean: torch.Tensor
    std: torch.Tensor

    def training_batches(self, recipe: Recipe, data_seed: int, epoch: int) -> Iterator[Batch]:
        """Yield an epoch's augmented, normalised batches; `epoch` counts from 1.

        Order and augmentation depend on the data seed and the epoch alone. A last batch that is
        not full is left out, unless it is the only one.
        """
        size, count = recipe.batch_size, len(self.train)
        order = torch.randperm(count, generator=torch_generator(data_seed, "order", epoch))
        batches = self.train.indices[order].split(size)[: max(count // size, 1)]
        draws = draw(count, recipe.augmentation, self.image_size, data_seed, epoch)
        for number, (indices, pixels) in enumerate(
            zip(batches, self.train.pixels.stream(batches), strict=True)
        ):
            yield (
                self._normalise(augment(pixels, draws, number * size)),
                self._labels(self.train, indices),
            )

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """Yield the normalised images of `split` in order, with their labels."""
        batches = split.indices.split(EVALUATION_BATCH)
        for indices, pixels in zip(batches, split.pixels.stream(batches), strict=True):
            yield self._normalise(pixels), self._labels(split, indices)

    def initialization_batch(self, recipe: Recipe) -> Batch:
        """Return the fixed training batch that data-dependent initializers see in this cell."""
        generator = torch_generator(0, "initialization batch")
        order = torch.randperm(len(self.train), generator=generator)
        indices = self.train.indices[order[: recipe.batch_size]]
        pixels = next(self.train.pixels.stream([indices]))
        return self._normalise(pixels), self._labels(self.train, indices)

    def _normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() / 255 - self.mean) / self.std

    def _labels(self, split: Split, indices: torch.Tensor) -> torch.Tensor:
        return split.labels[indices.to(split.labels.device)]


def prepare(
    images: Images,
    image_size: int,
    data_seed: int,
    validation_fraction: float,
    device: torch.device,
) -> CellData:
    """Hold a stratified validation split out of the training set and bring all to the device."""
    rng = numpy_generator(data_seed, "validation split")
    stays, held_out = stratified_split(images.train.labels, validation_fraction, rng)
    train_pixels = _pixels(images.train, image_size, device)
    train_labels = torch.from_numpy(images.train.labels).to(device)
    test_labels = torch.from_numpy(images.test.labels).to(device)
    shape = (1, images.channels, 1, 1)
    return CellData(
        train=Split(train_pixels, train_labels, torch.from_numpy(stays)),
        validation=Split(train_pixels, train_labels, torch.from_numpy(held_out)),
        test=Split(
            _pixels(images.test, image_size, device), test_labels, torch.arange(len(test_labels))
        ),
        classes=images.classes,
        channels=images.channels,
        image_size=image_size,
        mean=torch.tensor(images.mean, device=device).reshape(shape),
        std=torch.tensor(images.std, device=device).reshape(shape),
    )


def resize(pixels: torch.Tensor, image_size: int) -> torch.Tensor:
    """Resize uint8 images [n, channels, height, width] to a square, bilinear with antialiasing."""
    if pixels.shape[-2:] == (image_size, image_size):
        return pixels
    parts = [
        functional.interpolate(
            part.float(), (image_size, image_size), mode="bilinear", antialias=True
        )
        for part in pixels.split(1000)
    ]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


def _pixels(
    images: ArrayImages | FileImages, image_size: int, device: torch.device
) -> MemoryPixels | FilePixels:
    kind = MemoryPixels if isinstance(images, ArrayImages) else FilePixels
    return kind(images, image_size, device)  # type: ignore[arg-type]


def _fits(pixels: torch.Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return pixels.numel() < free // 4
