"""CIFAR through torchvision, on generated files in the layout of its download."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from benchmark.errors import UsageError
from benchmark.plugins import datasets

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
LABELS = (np.arange(60) % 10).tolist()

FILES = {
    "cifar10": ("CIFAR10", [f"data_batch_{number}" for number in range(1, 6)], ["test_batch"]),
    "cifar100": ("CIFAR100", ["train"], ["test"]),
}
each_data_set = pytest.mark.parametrize("name", list(FILES))


def make(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch, labels: list[int] = LABELS
) -> Path:
    """Write 50 training and 10 test images, and give torchvision their checksums."""
    class_name, train, test = FILES[name]
    loader = getattr(torchvision.datasets, class_name)
    folder = root / loader.base_folder
    folder.mkdir(parents=True)
    key = "labels" if name == "cifar10" else "fine_labels"

    def write(file: str, content: dict[str, Any]) -> list[str]:
        data = pickle.dumps(content)
        (folder / file).write_bytes(data)
        return [file, hashlib.md5(data).hexdigest()]

    def parts(files: list[str], start: int, stop: int) -> list[list[str]]:
        size = (stop - start) // len(files)
        return [
            write(
                file,
                {
                    "data": PIXELS[begin : begin + size].reshape(size, -1),
                    key: labels[begin : begin + size],
                },
            )
            for file, begin in zip(files, range(start, stop, size), strict=True)
        ]

    monkeypatch.setattr(loader, "train_list", parts(train, 0, 50))
    monkeypatch.setattr(loader, "test_list", parts(test, 50, 60))
    meta = {key: value for key, value in loader.meta.items() if key != "md5"}
    checksum = write(meta["filename"], {meta["key"]: [str(n) for n in range(10)]})[1]
    monkeypatch.setattr(loader, "meta", meta | {"md5": checksum})
    return folder


@each_data_set
def test_images_and_labels_come_out_as_they_lie_in_the_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(name, tmp_path, monkeypatch)
    images = datasets.get(name).function(tmp_path)
    assert images.classes == datasets.get(name).classes
    assert (images.train.pixels == PIXELS[:50]).all()
    assert (images.test.pixels == PIXELS[50:]).all()
    assert images.train.labels.tolist() == LABELS[:50]
    assert images.test.labels.tolist() == LABELS[50:]
    assert images.train.pixels.flags.c_contiguous
    assert images.mean == pytest.approx(tuple(PIXELS[:50].mean(axis=(0, 2, 3)) / 255))


@each_data_set
def test_the_folder_data_is_looked_in_where_none_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(name, tmp_path / "data", monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert len(datasets.get(name).function(None).train.labels) == 50


@each_data_set
def test_a_missing_folder_says_where_it_was_looked_for_and_how_to_get_it(
    name: str, tmp_path: Path
) -> None:
    class_name = FILES[name][0]
    folder = getattr(torchvision.datasets, class_name).base_folder
    with pytest.raises(UsageError, match=f"'{name}' is not in .*{folder}") as info:
        datasets.get(name).function(tmp_path)
    assert f"import {class_name} as C" in str(info.value)
    assert "data_dir: data" in str(info.value)


@each_data_set
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
@pytest.mark.parametrize("which", ["train", "test", "meta"])
def test_a_file_that_is_not_whole_is_refused_without_being_unpickled(
    name: str, which: str, harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(name, tmp_path, monkeypatch)
    loader = getattr(torchvision.datasets, FILES[name][0])
    files = {"train": loader.train_list[-1][0], "test": loader.test_list[0][0]}
    path = folder / files.get(which, loader.meta["filename"])
    data = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    elif harm == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(data[: len(data) // 2] if harm == "cut" else b"")
    with pytest.raises(UsageError, match=f"'{name}' in .* is incomplete or corrupt") as info:
        datasets.get(name).function(tmp_path)
    assert str(folder) in str(info.value)
    assert "Download it" in str(info.value)


def test_files_of_the_right_checksum_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("cifar10", tmp_path, monkeypatch, labels=[10, *LABELS[1:]])
    with pytest.raises(UsageError, match="training labels run from 0 to 10.*10 classes"):
        datasets.get("cifar10").function(tmp_path)
