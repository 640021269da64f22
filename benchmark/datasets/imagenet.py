"""ImageNet, or any other images in folders by class, decoded when a batch needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.datasets.images import FileImages, Images, missing_data
from benchmark.errors import UsageError
from benchmark.plugins import dataset
from benchmark.wording import counted

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, as torchvision and timm use them."""


@dataset(
    "imagenet",
    summary="ImageNet-1k as folders of images: train/CLASS/*.JPEG and val/CLASS/*.JPEG",
    source="https://www.image-net.org",
    classes=1000,
    channels=3,
    train_size=1_281_167,
    test_size=50_000,
)
def imagenet(data_dir: Path | None) -> Images:
    """List the images of `data_dir`/train and, as the test set, of `data_dir`/val."""
    return image_folders("imagenet", data_dir, classes=1000)


@dataset(
    "image_folder",
    summary="your own images in folders: train/CLASS/* and val/CLASS/*",
    source="https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html",
    channels=3,
)
def image_folder(data_dir: Path | None) -> Images:
    """List the images of `data_dir`/train and `data_dir`/val, whatever their classes."""
    return image_folders("image_folder", data_dir, classes=None)


def image_folders(name: str, data_dir: Path | None, classes: int | None) -> Images:
    """List the image files of both parts, as torchvision's `ImageFolder` does.

    Raises UsageError for missing or empty folders, for parts with different classes, and for
    another number of classes than expected.
    """
    if data_dir is None or not (data_dir / "train").is_dir() or not (data_dir / "val").is_dir():
        root = data_dir or Path("data_dir")
        remedy = "Write data_dir: FOLDER in the config; it holds train/CLASS and val/CLASS"
        raise missing_data(name, [root / "train", root / "val"], remedy)
    train, train_classes = _list(data_dir / "train")
    test, test_classes = _list(data_dir / "val")
    if train_classes != test_classes:
        odd = sorted(set(train_classes) ^ set(test_classes))[:3]
        raise UsageError(f"{data_dir}: train and val differ in classes, e.g. {', '.join(odd)}")
    if classes is not None and len(train_classes) != classes:
        found = counted(len(train_classes), "class", "classes")
        raise UsageError(
            f"{data_dir / 'train'} has {found}, {name} has {classes}"
            f" (for a subset of your own write the data set image_folder)"
        )
    return Images(len(train_classes), MEAN, STD, train, test)


def _list(folder: Path) -> tuple[FileImages, list[str]]:
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise UsageError(f"{folder} holds no images by class: {error}") from error
    paths, labels = zip(*found.samples, strict=True)
    return FileImages(paths, np.asarray(labels, dtype=np.int64)), found.classes
