"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels that need no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.datasets.images import ArrayImages, Images, from_arrays, stratified_split
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
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    train, test = stratified_split(labels, 0.2, numpy_generator(0, "digits", "test split"))
    return from_arrays(
        "digits",
        10,
        ArrayImages(pixels[train], labels[train]),
        ArrayImages(pixels[test], labels[test]),
    )
