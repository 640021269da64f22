"""Sobol initialisation: quasi-random numbers in the place of pseudo-random ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from benchmark.matrices import fill_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.layers import Layer

_BITS = 30
_FIRST_DIMENSION, _LAST_DIMENSION = 2, 64
_MOST_DIMENSIONS = 21201
_CHUNK = 1 << 16


@initializer(
    "sobol",
    summary="He, Xavier or LeCun variance with weights from a Sobol sequence",
    paper="arXiv:2408.02654",
)
def sobol(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    scheme: Literal[
        "he_uniform",
        "he_normal",
        "glorot_uniform",
        "glorot_normal",
        "lecun_uniform",
        "lecun_normal",
    ] = "he_uniform",
    points: Literal["tensor", "neuron"] = "tensor",
) -> None:
    """Put Sobol points through the inverse distribution function of a variance-scaling scheme.

    Variances are 2 / fan_in (he), 2 / (fan_in + fan_out) (glorot) and 1 / fan_in (lecun); normal
    means Keras' normal truncated at two standard deviations.

    `points=tensor` is the published choice: the weights are successive points of one coordinate of
    the sequence, in Keras' order (outputs run fastest, then inputs, then kernel positions). The
    reference numbers tensors and takes the coordinate of that number; here the coordinate, one of 2
    to 64, and a digital shift that tells tensors of one coordinate apart are drawn. Where the
    number of outputs is a power of two, rows and columns are shifted copies of each other, and the
    matrix is close to a small rank. `points=neuron` is not published: every neuron is one point of
    a scrambled sequence with a coordinate for each of its inputs, so that the weights of an input
    are evenly spread over the neurons.

    A grouped convolution is one matrix over its groups. Miranskyy, Sorrenti and Thakar 2024.
    """
    import torch

    family, _, distribution = scheme.partition("_")
    variance = {
        "he": 2.0 / layer.fan_in,
        "glorot": 2.0 / (layer.fan_in + layer.fan_out),
        "lecun": 1.0 / layer.fan_in,
    }[family]
    seed = int(torch.randint(1 << 62, (), generator=generator))
    if points == "tensor":
        uniform = _one_coordinate(weight.numel(), seed)
        keras = (*weight.shape[2:], *reversed(weight.shape[:2]))
        values = torch.from_numpy(_quantile(uniform, distribution, variance)).reshape(keras)
        weight.copy_(values.permute(-1, -2, *range(weight.dim() - 2)))
    else:

        def by_neuron(rows: int, columns: int) -> torch.Tensor:
            uniform = _one_point_a_row(rows, columns, seed)
            return torch.from_numpy(_quantile(uniform, distribution, variance))

        fill_matrix(weight, layer, by_neuron)


def _one_coordinate(count: int, seed: int) -> np.ndarray:
    """Return `count` points in (0, 1) of one coordinate behind its first, digitally shifted."""
    import numpy as np
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    dimension = int(rng.integers(_FIRST_DIMENSION, _LAST_DIMENSION + 1))
    engine = qmc.Sobol(dimension, scramble=False, bits=_BITS)
    chunk = min(_CHUNK, 1 << count.bit_length())
    chunks = [engine.random(chunk)[:, -1] for _ in range(-(-(count + 1) // chunk))]
    digits = (np.concatenate(chunks)[1 : count + 1] * 2.0**_BITS).astype(np.int64)
    return ((digits ^ rng.integers(1 << _BITS)) + 0.5) / 2.0**_BITS


def _one_point_a_row(rows: int, columns: int, seed: int) -> np.ndarray:
    """Return the first `rows` points of scrambled sequences in `columns` dimensions."""
    import numpy as np
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    power = 1 << (rows - 1).bit_length()
    widths = [
        min(_MOST_DIMENSIONS, columns - start) for start in range(0, columns, _MOST_DIMENSIONS)
    ]
    parts = [qmc.Sobol(width, rng=rng, bits=_BITS).random(power)[:rows] for width in widths]
    return np.concatenate(parts, axis=1)


def _quantile(uniform: np.ndarray, distribution: str, variance: float) -> np.ndarray:
    from scipy.stats import norm, truncnorm

    if distribution == "uniform":
        return (2.0 * uniform - 1.0) * math.sqrt(3.0 * variance)
    low, high = norm.cdf(-2.0), norm.cdf(2.0)
    std = math.sqrt(variance / truncnorm.var(-2.0, 2.0))
    return std * norm.ppf(low + uniform * (high - low))
