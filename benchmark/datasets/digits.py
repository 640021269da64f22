"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels that need no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from benchmark.datasets.images import ArrayImages, Images, from_arrays, stratified_split
from benchmark.errors import UsageError
from benchmark.plugins import dataset
from benchmark.seeds import numpy_generator


@dataset(
    "digits",
    summary="1,797 handwritten digits, 8x8 pixels, 10 classes; comes with scikit-learn",
    source="https://archive.ics.uci.edu/dataset/80",
    classes=10,
    channels=1,
    train_size=1438,
    test_size=359,
)
def digits(data_dir: Path | None) -> Images:
    """Load the digits; a fifth of every class, the same in every run, is the test set."""
    table = np.loadtxt(_file(), delimiter=",")
    images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    pixels = np.rint(images * (255 / 16)).astype(np.uint8)[:, None]
    train, test = stratified_split(labels, 0.2, numpy_generator(0, "digits", "test split"))
    return from_arrays(
        "digits",
        10,
        ArrayImages(pixels[train], labels[train]),
        ArrayImages(pixels[test], labels[test]),
    )


def _file() -> Path:
    """Return scikit-learn's file, found without importing it: that takes longer than a training."""
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "datasets" / "data" / "digits.csv.gz").is_file():
            return path
    raise UsageError("data set 'digits' comes with scikit-learn: pip install scikit-learn")
