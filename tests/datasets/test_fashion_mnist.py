"""Fashion-MNIST: IDX files from either place, and what is wrong with broken ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets import fashion_mnist as module
from benchmark.datasets.fashion_mnist import DEBIAN, read_idx
from benchmark.errors import UsageError
from benchmark.plugins import datasets

load = datasets.get("fashion_mnist").function
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 5, 6), dtype=np.uint8)
LABELS = (np.arange(30) % 10).astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_files(folder: Path, compressed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "train-images-idx3-ubyte": PIXELS[:20],
        "train-labels-idx1-ubyte": LABELS[:20],
        "t10k-images-idx3-ubyte": PIXELS[20:],
        "t10k-labels-idx1-ubyte": LABELS[20:],
    }
    for name, array in files.items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))


@pytest.fixture(autouse=True)
def no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEBIAN", tmp_path / "no package")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("below", ["", "FashionMNIST/raw"])
def test_files_are_read_compressed_or_not_from_the_folder_or_torchvisions_below_it(
    tmp_path: Path, below: str, compressed: bool
) -> None:
    write_files(tmp_path / below, compressed)
    images = load(tmp_path)
    assert (images.train.pixels == PIXELS[:20, None]).all()
    assert (images.train.labels == LABELS[:20]).all()
    assert (images.test.pixels == PIXELS[20:, None]).all()
    assert (images.test.labels == LABELS[20:]).all()
    assert images.train.labels.dtype == np.int64
    assert images.mean == pytest.approx((PIXELS[:20].mean() / 255,))


def test_the_package_serves_without_a_data_folder_and_where_that_lacks_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "package", compressed=True)
    monkeypatch.setattr(module, "DEBIAN", tmp_path / "package")
    assert len(load(None).train.labels) == 20
    assert len(load(tmp_path / "empty").train.labels) == 20


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_package_has_the_declared_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEBIAN", DEBIAN)
    images, declared = load(None), datasets.get("fashion_mnist")
    assert images.train.pixels.shape == (declared.train_size, declared.channels, 28, 28)
    assert images.test.pixels.shape == (declared.test_size, declared.channels, 28, 28)
    assert (np.bincount(images.train.labels) == 6000).all()
    assert (np.bincount(images.test.labels) == 1000).all()
    assert images.mean == pytest.approx((0.2860,), abs=1e-4)
    assert images.std == pytest.approx((0.3530,), abs=1e-4)


def test_missing_files_say_where_they_were_looked_for_and_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="apt-get install dataset-fashion-mnist") as info:
        load(tmp_path / "data")
    message = str(info.value)
    assert str(tmp_path / "data" / "FashionMNIST" / "raw") in message
    assert str(tmp_path / "no package") in message
    assert "download=True" in message


def test_a_missing_second_file_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, compressed=False)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UsageError, match="lacks the file t10k-labels-idx1-ubyte"):
        load(tmp_path)


WHOLE = idx(PIXELS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        WHOLE[:3],
        WHOLE[:6],
        WHOLE[:15],
        WHOLE[:16],
        WHOLE[:-1],
        WHOLE + b"0",
        b"\x00\x00\x0d\x03" + WHOLE[4:],
        b"\x00\x00\x08\x02" + WHOLE[4:],
        b"\x01\x00\x08\x03" + WHOLE[4:],
        b"\x00\x00\x08\x03" + b"\xff" * 12 + b"few",
        b"<html>not found</html>",
        b"<html>" + b"." * 1000,
    ],
)
def test_a_cut_or_foreign_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "images").write_bytes(data)
    with pytest.raises(UsageError, match="images is corrupt.*get it anew"):
        read_idx(tmp_path, "images", dimensions=3)


def test_a_compressed_file_cut_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    packed = gzip.compress(WHOLE)
    for length in (0, 1, 9, 12, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        (tmp_path / "images.gz").write_bytes(packed[:length])
        with pytest.raises(UsageError, match=r"images\.gz is corrupt"):
            read_idx(tmp_path, "images", dimensions=3)


def test_a_compressed_file_with_a_flipped_bit_is_refused_by_name_or_read_whole(
    tmp_path: Path,
) -> None:
    """A bit of the gzip header (time, name) may flip unnoticed; one of the data may not."""
    packed = bytearray(gzip.compress(WHOLE))
    refused = 0
    for place in range(0, len(packed), 7):
        changed = packed.copy()
        changed[place] ^= 1 << (place % 8)
        (tmp_path / "images.gz").write_bytes(changed)
        try:
            assert (read_idx(tmp_path, "images", dimensions=3) == PIXELS).all()
        except UsageError as error:
            assert "images.gz is corrupt" in str(error)  # noqa: PT017
            refused += 1
    assert refused >= len(packed) // 7 - 2


def test_more_labels_than_images_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path, compressed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    with pytest.raises(UsageError, match="fashion_mnist: 20 training images with 30 labels"):
        load(tmp_path)


def test_a_label_outside_the_classes_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, compressed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:20] + 1))
    with pytest.raises(UsageError, match="labels run from 1 to 10, but it has 10 classes"):
        load(tmp_path)
