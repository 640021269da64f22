"""A cell's data: split, order and size of batches, and the same pictures for every treatment."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.datasets.images import ArrayImages, FileImages, Images, from_arrays
from benchmark.recipe import Recipe
from benchmark.training.augmentation import augment, draw
from benchmark.training.data import (
    BATCHES_AHEAD,
    EVALUATION_BATCH,
    CellData,
    DataError,
    FilePixels,
    MemoryPixels,
    Split,
    prepare,
    resize,
)
from tests.random_state import global_state_kept, seed_globals

CPU = torch.device("cpu")
CLASSES = 5
TRAIN, TEST = 200, 30


def numbered(count: int, channels: int = 1, side: int = 8) -> ArrayImages:
    """Return images each filled with its own number, so that a batch shows which it holds."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    shape = (count, channels, side, side)
    return ArrayImages(np.broadcast_to(pixels, shape).copy(), np.arange(count) % CLASSES)


def make_data(
    data_seed: int = 0, fraction: float = 0.1, side: int = 8, train: int = TRAIN
) -> CellData:
    images = from_arrays("made", CLASSES, numbered(train), numbered(TEST))
    return prepare(images, side, data_seed, fraction, CPU)


def recipe(batch_size: int = 16, augmentation: Sequence[str] = ()) -> Recipe:
    return Recipe(batch_size=batch_size, augmentation=tuple(augmentation))  # type: ignore[arg-type]


def numbers_of(data: CellData, images: torch.Tensor) -> list[int]:
    """Return which images of the data set a batch holds."""
    pixels = (images * data.std + data.mean) * 255
    values = pixels.amax(dim=(1, 2, 3)).round().int()
    return [int(value) for value in values]


def epoch(data: CellData, settings: Recipe, data_seed: int = 0, number: int = 1) -> list[list[int]]:
    return [
        numbers_of(data, images) for images, _ in data.training_batches(settings, data_seed, number)
    ]


def same_batches(one: list, other: list) -> bool:
    return all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


def test_the_validation_split_is_stratified_and_apart_from_the_training_images() -> None:
    data = make_data(fraction=0.2)
    assert len(data.train) == 160
    assert len(data.validation) == 40
    assert sorted([*data.train.indices.tolist(), *data.validation.indices.tolist()]) == list(
        range(TRAIN)
    )
    held_out = data.validation.labels[data.validation.indices]
    assert torch.bincount(held_out).tolist() == [8] * CLASSES


def test_the_validation_split_follows_the_data_seed() -> None:
    first, again, other = (make_data(seed).validation.indices for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_test_split_is_the_whole_test_set_whatever_the_seed() -> None:
    for seed in (0, 1):
        data = make_data(seed)
        batches = list(data.evaluation_batches(data.test))
        assert [n for images, _ in batches for n in numbers_of(data, images)] == list(range(TEST))
        labels = torch.cat([labels for _, labels in batches])
        assert labels.tolist() == [n % CLASSES for n in range(TEST)]


def test_every_batch_is_full_and_an_image_comes_once_an_epoch_at_most() -> None:
    data = make_data()
    batches = epoch(data, recipe(batch_size=16))
    assert [len(batch) for batch in batches] == [16] * (180 // 16)
    drawn = [number for batch in batches for number in batch]
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(data.train.indices.tolist())


def test_a_batch_larger_than_the_data_is_all_of_them() -> None:
    data = make_data(train=50)
    (batch,) = epoch(data, recipe(batch_size=64))
    assert sorted(batch) == data.train.indices.tolist()


def test_labels_are_those_of_the_images() -> None:
    data = make_data()
    for images, labels in data.training_batches(recipe(), 0, 1):
        assert labels.tolist() == [number % CLASSES for number in numbers_of(data, images)]
        assert labels.dtype == torch.int64


def test_order_depends_on_the_data_seed_and_the_epoch_alone() -> None:
    data = make_data()
    first = epoch(data, recipe(), data_seed=0, number=1)
    assert epoch(make_data(), recipe(), data_seed=0, number=1) == first
    assert epoch(data, recipe(), data_seed=0, number=2) != first
    assert epoch(data, recipe(), data_seed=1, number=1) != first
    other = Recipe(batch_size=16, epochs=3, optimizer="adamw", learning_rate=1e-3)
    assert epoch(data, other, data_seed=0, number=1) == first


def test_the_batch_size_cuts_one_order() -> None:
    data = make_data()
    small, large = (epoch(data, recipe(batch_size=size)) for size in (15, 60))
    assert sum(small, []) == sum(large, [])  # noqa: RUF017


def test_augmentation_changes_pictures_and_neither_order_nor_each_other() -> None:
    data = make_data()
    plain = epoch(data, recipe())
    for kinds in (["flip"], ["shift_crop"], ["flip", "shift_crop"]):
        assert epoch(data, recipe(augmentation=kinds)) == plain


def test_all_treatments_see_the_same_augmented_batches_in_the_same_order() -> None:
    """Two workers that prepare the same cell, with other things drawn in between."""
    settings = recipe(augmentation=["flip", "shift_crop"])
    images = random_images()
    first = list(prepare(images, 8, 0, 0.1, CPU).training_batches(settings, 0, 3))
    torch.rand(7)
    data = prepare(images, 8, 0, 0.1, CPU)
    list(data.training_batches(settings, 0, 1))
    assert same_batches(first, list(data.training_batches(settings, 0, 3)))
    plain = list(data.training_batches(recipe(), 0, 3))
    assert not same_batches(first, plain)


def test_a_picture_is_augmented_by_the_draw_of_its_place_in_the_epoch() -> None:
    kinds = ("flip", "shift_crop")
    data = prepare(random_images(), 8, 0, 0.1, CPU)
    augmented = list(data.training_batches(recipe(augmentation=kinds), 0, 3))
    plain = list(data.training_batches(recipe(), 0, 3))
    draws = draw(len(data.train), kinds, 8, data_seed=0, epoch=3)
    assert len(plain) == 3
    for number, ((found, _), (before, _)) in enumerate(zip(augmented, plain, strict=True)):
        pixels = ((before * data.std + data.mean) * 255).round().to(torch.uint8)
        expected = augment(pixels, draws, number * 16).float() / 255
        assert torch.allclose(found, (expected - data.mean) / data.std, atol=1e-5)


def random_images(count: int = 60, channels: int = 3, side: int = 8) -> Images:
    rng = np.random.default_rng(3)
    parts = [
        ArrayImages(
            rng.integers(0, 256, (count, channels, side, side), dtype=np.uint8),
            np.arange(count) % CLASSES,
        )
        for _ in range(2)
    ]
    return from_arrays("made", CLASSES, *parts)


def test_images_are_normalised_by_the_statistics_of_the_training_images() -> None:
    images = random_images()
    data = prepare(images, 8, 0, 0.1, CPU)
    (pixels, _), *_ = data.evaluation_batches(data.test)
    for channel in range(3):
        raw = images.test.pixels[:, channel] / 255
        expected = (raw - images.mean[channel]) / images.std[channel]
        assert np.abs(pixels[:, channel].numpy() - expected).max() < 1e-5
    assert pixels.dtype == torch.float32


def test_evaluation_keeps_order_across_batches_and_augments_nothing() -> None:
    images = random_images(count=EVALUATION_BATCH + 7, channels=1, side=2)
    data = prepare(images, 2, 0, 0.1, CPU)
    batches = list(data.evaluation_batches(data.test))
    assert [len(labels) for _, labels in batches] == [EVALUATION_BATCH, 7]
    pixels = torch.cat([pixels for pixels, _ in batches])
    expected = (torch.from_numpy(images.test.pixels) / 255 - data.mean) / data.std
    assert torch.allclose(pixels, expected, atol=1e-5)


def test_the_initialization_batch_is_fixed_plain_and_of_training_images() -> None:
    data = make_data()
    plain, augmented = (recipe(augmentation=kinds) for kinds in ([], ["flip", "shift_crop"]))
    first, again = data.initialization_batch(plain), make_data().initialization_batch(augmented)
    assert same_batches([first], [again])
    images, labels = first
    numbers = numbers_of(data, images)
    assert len(set(numbers)) == 16
    assert set(numbers) <= set(data.train.indices.tolist())
    assert labels.tolist() == [number % CLASSES for number in numbers]
    assert numbers not in epoch(data, plain)


def test_data_neither_read_nor_disturb_global_random_state() -> None:
    settings = recipe(augmentation=["flip", "shift_crop"])
    images = random_images()
    batches = []
    for seed in (1, 2):
        seed_globals(seed)
        with global_state_kept():
            data = prepare(images, 12, 0, 0.1, CPU)
            batches.append(
                [
                    *data.training_batches(settings, 0, 1),
                    *data.evaluation_batches(data.validation),
                    data.initialization_batch(settings),
                ]
            )
    assert same_batches(*batches)


@pytest.mark.parametrize(("side", "target"), [(28, 32), (8, 32), (32, 8), (30, 7), (9, 10)])
def test_resizing_is_pillows_antialiased_bilinear_to_one_grey_level(side: int, target: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, side, side), dtype=np.uint8)
    result = resize(torch.from_numpy(pixels), target).numpy()
    assert result.dtype == np.uint8
    differences = []
    planes = result.reshape(6, target, target), pixels.reshape(6, side, side)
    for found, given in zip(*planes, strict=True):
        expected = Image.fromarray(given).resize((target, target), Image.Resampling.BILINEAR)
        differences.append(found.astype(int) - np.asarray(expected).astype(int))
    assert np.abs(differences).max() <= 1
    assert abs(np.mean(differences)) < 0.25


def test_resizing_keeps_order_extremes_and_what_has_the_size_already() -> None:
    levels = (torch.arange(2500) % 256).to(torch.uint8)
    flat = levels[:, None, None, None].expand(2500, 1, 4, 4)
    assert torch.equal(resize(flat, 6), levels[:, None, None, None].expand(2500, 1, 6, 6))
    same = torch.zeros(2, 1, 6, 6, dtype=torch.uint8)
    assert resize(same, 6) is same
    assert resize(torch.zeros(2, 1, 6, 9, dtype=torch.uint8), 5).shape == (2, 1, 5, 5)


SIZES = [(12, 9), (9, 12), (8, 8), (5, 7), (40, 11), (6, 30)]


@pytest.fixture
def files(tmp_path: Path) -> FileImages:
    """Pictures of several sizes and modes, one file each."""
    rng = np.random.default_rng(1)
    paths = []
    for number, (width, height) in enumerate(SIZES * 2):
        mode = ("RGB", "L", "RGBA", "P")[number % 4]
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        path = tmp_path / f"{number}.{'jpg' if mode in ('RGB', 'L') else 'png'}"
        picture.convert(mode).save(path)
        paths.append(str(path))
    return FileImages(paths, np.arange(len(paths)) % 2)


def decoded(path: str, side: int) -> np.ndarray:
    """Decode by hand: the shorter side to `side`, bilinear, then the centre."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    width, height = rgb.size
    if width <= height:
        rgb = rgb.resize((side, int(side * height / width)), Image.Resampling.BILINEAR)
    else:
        rgb = rgb.resize((int(side * width / height), side), Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2.0) for length in rgb.size)
    cropped = rgb.crop((left, top, left + side, top + side))
    return np.asarray(cropped).transpose(2, 0, 1)


def test_files_stream_as_they_are_decoded_by_hand_in_the_order_asked_for(
    files: FileImages,
) -> None:
    batches = [torch.tensor([3, 0, 11]), torch.tensor([7]), torch.tensor([1, 2])]
    seed_globals(1)
    with global_state_kept(), warnings.catch_warnings():
        warnings.simplefilter("error")
        streamed = list(FilePixels(files, 8, CPU).stream(batches))
    for indices, pixels in zip(batches, streamed, strict=True):
        assert pixels.dtype == torch.uint8
        for index, picture in zip(indices.tolist(), pixels.numpy(), strict=True):
            assert (picture == decoded(files.paths[index], 8)).all()


def test_files_and_memory_train_on_the_same_batches(files: FileImages) -> None:
    pixels = np.stack([decoded(path, 8) for path in files.paths])
    settings = recipe(batch_size=5, augmentation=["flip", "shift_crop"])
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    in_memory = ArrayImages(pixels, files.labels)
    streams = []
    for part in (files, in_memory):
        data = prepare(Images(2, mean, std, part, part), 8, 0, 0.2, CPU)
        streams.append(list(data.training_batches(settings, 0, 1)))
    assert len(streams[0]) == 2
    assert same_batches(*streams)


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("0.jpg", lambda data: data[: len(data) // 2]),
        ("2.png", lambda data: data[: len(data) // 2]),
        ("1.jpg", lambda data: b"no picture"),
        ("3.png", lambda data: b""),
        ("6.png", lambda data: b"P6 \xf155 12 255 " + data),
    ],
    ids=["cut jpeg", "cut png", "garbage", "empty", "header of another format"],
)
def test_a_file_that_cannot_be_decoded_is_named(
    files: FileImages, tmp_path: Path, name: str, harm
) -> None:
    path = tmp_path / name
    path.write_bytes(harm(path.read_bytes()))
    index = list(files.paths).index(str(path))
    with pytest.raises(DataError, match=f"cannot decode the image .*{name}"):
        list(FilePixels(files, 8, CPU).stream([torch.tensor([index])]))


@pytest.mark.parametrize("ahead", [0, BATCHES_AHEAD])
def test_a_stream_of_files_decodes_little_ahead_and_ends_its_threads(
    files: FileImages, ahead: int
) -> None:
    asked = []

    class Batches(list[torch.Tensor]):
        def __iter__(self):
            for number, indices in enumerate(super().__iter__()):
                asked.append(number)
                yield indices

    before = set(threading.enumerate())
    pixels = FilePixels(files, 8, CPU)
    assert pixels._ahead == 0
    pixels._ahead = ahead
    stream = pixels.stream(Batches([torch.tensor([0, 1])] * 20))
    next(stream)
    assert set(threading.enumerate()) > before
    assert len(asked) == 1 + ahead
    stream.close()
    assert set(threading.enumerate()) == before
    assert len(asked) == 1 + ahead


def test_a_file_that_is_gone_is_named(files: FileImages) -> None:
    Path(files.paths[4]).unlink()
    with pytest.raises(DataError, match=r"cannot decode the image .*4\.jpg"):
        list(FilePixels(files, 8, CPU).stream([torch.tensor([4])]))


def test_memory_pixels_are_resized_once_and_come_as_asked_for() -> None:
    images = numbered(10, side=4)
    stream = MemoryPixels(images, 6, CPU).stream([torch.tensor([9, 2]), torch.tensor([0])])
    shapes = []
    for pixels, expected in zip(stream, ([9, 2], [0]), strict=True):
        shapes.append(tuple(pixels.shape))
        assert pixels[:, 0, 0, 0].tolist() == expected
    assert shapes == [(2, 1, 6, 6), (1, 1, 6, 6)]


def test_the_length_of_a_split_is_that_of_its_indices() -> None:
    data = make_data()
    assert isinstance(data.train, Split)
    assert len(data.train) == len(data.train.indices) == 180
