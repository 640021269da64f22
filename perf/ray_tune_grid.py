"""The grid of `perf.against_ray_tune`, as a config of initbench and as trials of a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmark.spelling import parse_call

DATA: dict[str, dict[str, Any]] = {
    "digits": {
        "models": ("test_resnet", "test_vit(depth=3, patch_size=2)", "plain_cnn"),
        "seeds": 8,
        "recipe": {"epochs": 4, "batch_size": 32, "learning_rate": 0.004, "image_size": 8},
    },
    "fashion": {
        "models": ("test_resnet", "test_vit(depth=3, patch_size=7)", "plain_cnn"),
        "seeds": 4,
        "recipe": {"epochs": 2, "batch_size": 64, "learning_rate": 0.003, "image_size": 28},
    },
}
WEIGHT_DECAY = 0.05
FASHION_TRAIN, FASHION_TEST = 2000, 1000
PLUGIN = f"""
from benchmark.datasets.fashion_mnist import fashion_mnist
from benchmark.datasets.images import ArrayImages, from_arrays
from benchmark.plugins import dataset


@dataset("fashion", summary="a part of Fashion-MNIST", source="arXiv:1708.07747", classes=10,
         channels=1, train_size={FASHION_TRAIN}, test_size={FASHION_TEST})
def fashion(data_dir):
    whole = fashion_mnist(data_dir)
    train, test = (
        ArrayImages(part.pixels[:count].copy(), part.labels[:count].copy())
        for part, count in ((whole.train, {FASHION_TRAIN}), (whole.test, {FASHION_TEST}))
    )
    return from_arrays("fashion", 10, train, test)
"""


def files_of_fashion(folder: Path, data_dir: Path | None, generated: bool) -> Path | None:
    """Return the folder of Fashion-MNIST's files, after generating some where there are none."""
    from benchmark.datasets.fashion_mnist import DEBIAN

    if not generated and (data_dir or DEBIAN.is_dir()):
        return data_dir
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 200, (10, 28, 28))
    for part, count in (("train", FASHION_TRAIN), ("t10k", FASHION_TEST)):
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        noise = rng.integers(0, 56, (count, 28, 28))
        write_idx(folder / f"{part}-images-idx3-ubyte", (classes[labels] + noise).astype(np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write unsigned bytes in the IDX format."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes())


def write_config(folder: Path, name: str, grid: dict[str, Any], data_dir: Path | None) -> Path:
    """Write the config of the grid; return its path."""
    if name == "fashion":
        (folder / "fashion.py").write_text(PLUGIN, encoding="utf-8")
    config = {
        "name": "against",
        "grid": {
            "datasets": [name],
            "architectures": list(grid["models"]),
            "initializers": list(grid["initializers"]),
            "seeds": grid["seeds"],
        },
        "plugins": ["fashion.py"] if name == "fashion" else [],
        "recipe": {**grid["recipe"], "optimizer": "adamw", "weight_decay": WEIGHT_DECAY},
        **({"data_dir": str(data_dir.resolve())} if data_dir else {}),
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def write_script_grid(folder: Path, name: str, grid: dict[str, Any], data_dir: Path | None) -> Path:
    """Write the data as normalised tensors and the script's list of trials; return its path."""
    import torch

    from benchmark.plugins import datasets, load_plugins

    load_plugins([str(folder / "fashion.py")] if name == "fashion" else [])
    images = datasets.get(name).function(data_dir)
    tensors = {}
    for part, split in (("train", images.train), ("test", images.test)):
        pixels = split.pixels.astype(np.float32) / 255
        shape = (1, -1, 1, 1)
        pixels = (pixels - np.reshape(images.mean, shape)) / np.reshape(images.std, shape)
        tensors[f"{part}_images"] = torch.from_numpy(pixels.astype(np.float32))
        tensors[f"{part}_labels"] = torch.from_numpy(split.labels)
    torch.save(tensors, folder / "data.pt")
    trials = []
    for model in grid["models"]:
        call = parse_call(model)
        args = dict(call.keywords)
        if call.name == "test_vit":
            args["img_size"] = grid["recipe"]["image_size"]
        for initializer in grid["initializers"]:
            for seed in range(grid["seeds"]):
                trials.append(
                    {
                        "architecture": str(call),
                        "model": call.name,
                        "args": args,
                        "initializer": initializer,
                        "seed": seed,
                        "data": str(folder / "data.pt"),
                        "weight_decay": WEIGHT_DECAY,
                        **grid["recipe"],
                    }
                )
    path = folder / "grid.json"
    path.write_text(json.dumps(trials), encoding="utf-8")
    return path
