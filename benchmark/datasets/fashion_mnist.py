"""Fashion-MNIST from Debian's package or from torchvision's folder."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from benchmark.datasets.images import ArrayImages, Images, from_arrays, missing_data
from benchmark.errors import UsageError
from benchmark.plugins import dataset

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@dataset(
    "fashion_mnist",
    summary="70,000 pictures of clothes, 28x28 grey pixels, 10 classes",
    source="arXiv:1708.07747",
    classes=10,
    channels=1,
    train_size=60_000,
    test_size=10_000,
)
def fashion_mnist(data_dir: Path | None) -> Images:
    """Load the IDX files, compressed or not, from the data folder or from Debian's package."""
    places = [data_dir, data_dir / "FashionMNIST" / "raw"] if data_dir else []
    for folder in (*places, DEBIAN):
        if _idx_path(folder, "train-images-idx3-ubyte"):
            return from_arrays("fashion_mnist", 10, _read(folder, "train"), _read(folder, "t10k"))
    raise missing_data(
        "fashion_mnist",
        [*places, DEBIAN],
        "Install Debian's package (apt-get install dataset-fashion-mnist), or download it into the"
        ' data_dir of the config: python -c "from torchvision.datasets import FashionMNIST as F;'
        " F('data', download=True)\" and data_dir: data",
    )


def _read(folder: Path, part: str) -> ArrayImages:
    pixels = read_idx(folder, f"{part}-images-idx3-ubyte", dimensions=3)
    labels = read_idx(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
    return ArrayImages(pixels[:, None], labels.astype(np.int64))


def _idx_path(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def read_idx(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, `name` or `name.gz`, with so many dimensions.

    Raises UsageError for a file that is missing, cut short or of another format. The format:
    two zero bytes, the type (8 = unsigned byte), the number of dimensions, then each size as a
    big-endian 32-bit integer, then the data.
    """
    path = _idx_path(folder, name)
    if path is None:
        raise UsageError(f"{folder} lacks the file {name} (or {name}.gz)")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is corrupt: {error}; get it anew") from error
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, header, 4))
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) != header + math.prod(shape):
        raise UsageError(f"{path} is corrupt: not a whole IDX file of bytes; get it anew")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape).copy()
