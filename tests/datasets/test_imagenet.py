"""Images in folders by class: listed as torchvision lists them, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets.imagenet import MEAN, STD
from benchmark.datasets.images import FileImages, Images
from benchmark.errors import UsageError
from benchmark.plugins import datasets


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path)


def make(root: Path, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for part, count in (("train", 3), ("val", 2)):
        for name in classes:
            for number in range(count):
                suffix = ".JPEG" if number else ".png"
                write_image(root / part / name / f"{number}{suffix}")
    return root


def load(root: Path | None, name: str = "image_folder") -> Images:
    return datasets.get(name).function(root)


def test_files_of_both_parts_are_listed_with_the_class_of_their_folder(tmp_path: Path) -> None:
    images = load(make(tmp_path))
    assert images.classes == 2
    assert (images.mean, images.std) == (MEAN, STD)
    for part, folder, count in ((images.train, "train", 3), (images.test, "val", 2)):
        assert isinstance(part, FileImages)
        assert part.labels.tolist() == [0] * count + [1] * count
        assert part.labels.dtype == np.int64
        for path, label in zip(part.paths, part.labels, strict=True):
            assert Path(path).parent == tmp_path / folder / ("cat", "dog")[label]


def test_what_is_no_image_is_not_listed(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "loose.png").write_bytes(b"belongs to no class")
    assert len(load(tmp_path).train.labels) == 6


def test_order_and_labels_do_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    one = load(make(tmp_path / "one", ("cat", "dog", "eel")))
    other = load(make(tmp_path / "other", ("eel", "cat", "dog")))
    relative = [
        [str(Path(path).relative_to(tmp_path / root)) for path in images.train.paths]
        for root, images in (("one", one), ("other", other))
    ]
    assert relative[0] == relative[1]
    assert (one.train.labels == other.train.labels).all()


@pytest.mark.parametrize("name", ["image_folder", "imagenet"])
@pytest.mark.parametrize("missing", ["train", "val"])
def test_missing_folders_are_named_with_what_to_write(
    name: str, missing: str, tmp_path: Path
) -> None:
    make(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=f"data set '{name}' is not in") as info:
        load(tmp_path, name)
    assert str(tmp_path / missing) in str(info.value)
    assert "data_dir: FOLDER" in str(info.value)


def test_without_a_data_folder_the_config_key_is_named() -> None:
    with pytest.raises(UsageError, match="data_dir: FOLDER"):
        load(None)


def test_empty_folders_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "train" / "empty class").mkdir()
    with pytest.raises(UsageError, match="train holds no images by class.*empty class"):
        load(tmp_path)
    for part in ("train", "val"):
        (tmp_path / "bare" / part).mkdir(parents=True)
    with pytest.raises(UsageError, match="train holds no images by class"):
        load(tmp_path / "bare")


def test_parts_with_different_classes_are_refused_naming_some(tmp_path: Path) -> None:
    make(tmp_path)
    write_image(tmp_path / "val" / "eel" / "0.png")
    with pytest.raises(UsageError, match="train and val differ in classes, e.g. eel"):
        load(tmp_path)


def test_imagenet_wants_its_thousand_classes_and_names_the_way_for_a_subset(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="2 classes, imagenet has 1000.*image_folder"):
        load(make(tmp_path), "imagenet")
