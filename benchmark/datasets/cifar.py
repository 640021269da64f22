"""CIFAR-10 and CIFAR-100 through torchvision, from a folder that holds its download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.datasets.images import ArrayImages, Images, from_arrays, missing_data
from benchmark.errors import UsageError
from benchmark.plugins import dataset

SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataset(
    "cifar10",
    summary="60,000 photographs, 32x32 pixels, 10 classes",
    source=SOURCE,
    classes=10,
    channels=3,
    train_size=50_000,
    test_size=10_000,
)
def cifar10(data_dir: Path | None) -> Images:
    """Load CIFAR-10 from `data_dir`/cifar-10-batches-py."""
    return _load("cifar10", "CIFAR10", 10, data_dir)


@dataset(
    "cifar100",
    summary="60,000 photographs, 32x32 pixels, 100 classes",
    source=SOURCE,
    classes=100,
    channels=3,
    train_size=50_000,
    test_size=10_000,
)
def cifar100(data_dir: Path | None) -> Images:
    """Load CIFAR-100 from `data_dir`/cifar-100-python."""
    return _load("cifar100", "CIFAR100", 100, data_dir)


def _load(name: str, class_name: str, classes: int, data_dir: Path | None) -> Images:
    import torchvision

    loader = getattr(torchvision.datasets, class_name)
    folder = data_dir or Path("data")
    remedy = (
        f'Download it: python -c "from torchvision.datasets import {class_name} as C;'
        f" C('data', download=True)\" and write data_dir: data in the config"
    )
    if not (folder / loader.base_folder).is_dir():
        raise missing_data(name, [folder / loader.base_folder], remedy)
    parts = []
    for train in (True, False):
        try:
            found = loader(str(folder), train=train, download=False)
        except Exception as error:
            raise UsageError(
                f"data set {name!r} in {folder / loader.base_folder} is incomplete or corrupt"
                f" ({error}). {remedy}"
            ) from error
        pixels = np.ascontiguousarray(np.asarray(found.data).transpose(0, 3, 1, 2))
        parts.append(ArrayImages(pixels, np.asarray(found.targets, dtype=np.int64)))
    return from_arrays(name, classes, *parts)
