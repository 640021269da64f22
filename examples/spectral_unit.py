"""Tensor-level: a normal matrix scaled so that its largest singular value is known in advance.

The largest singular value of an [m, n] matrix of N(0, s^2) tends to s (sqrt(m) + sqrt(n)) for large
m and n (Bai and Yin 1993, doi:10.1214/aop/1176989118). Dividing by it makes layers that stretch
no signal by more than about `gain`, whatever their shape.
"""

from benchmark import initializer


@initializer(
    "spectral_unit",
    summary="normal weights with largest singular value of about gain (Bai-Yin)",
    paper="doi:10.1214/aop/1176989118",
    variance=lambda layer, gain: _std(layer.shape, gain) ** 2,
)
def spectral_unit(weight, layer, generator, gain: float = 2.0) -> None:
    """Draw from N(0, s^2) with s = gain / (sqrt(m) + sqrt(n)), m x n the matrix [out, in]."""
    weight.normal_(0.0, _std(layer.shape, gain), generator=generator)


def _std(shape: tuple[int, ...], gain: float) -> float:
    rows, columns = shape[0], 1
    for size in shape[1:]:
        columns *= size
    return gain / (rows**0.5 + columns**0.5)
