"""Convolution-aware initialisation: filters orthogonal in Fourier space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import haar, kernels
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "convolution_aware",
    summary="filters from orthonormal spectra plus noise, at He's variance; linear orthogonal",
    paper="arXiv:1702.06295",
    variance=lambda layer, noise: (
        1 / max(layer.shape) if layer.kind == "linear" else 2 / layer.fan_in
    ),
)
def convolution_aware(
    weight: torch.Tensor, layer: Layer, generator: torch.Generator, noise: float = 0.05
) -> None:
    """Give the filters of every output orthonormal real spectra, back-transformed, plus noise.

    The spectra of one output's input channels are Haar-random orthonormal bases of the half
    spectrum, as many as the channels need (keras-contrib's ConvolutionAware, which this follows,
    takes the eigenvectors of a random symmetric matrix). N(0, noise^2) is added to what the inverse
    real Fourier transform gives, because that is symmetric, and all is scaled to variance 2 /
    fan_in. One-tap kernels are Gaussian, linear layers orthogonal. Aghajanyan 2017.
    """
    import torch

    std = math.sqrt(2.0 / layer.fan_in)
    if layer.kind == "linear":
        weight.copy_(haar(len(weight), weight.shape[1], generator))
    elif math.prod(weight.shape[2:]) == 1:
        weight.normal_(0.0, std, generator=generator)
    else:
        for kernel in kernels(weight, layer):
            outputs, inputs, *taps = kernel.shape
            filters = torch.fft.irfftn(_spectra(outputs, inputs, taps, generator), s=taps)
            filters += torch.empty_like(filters).normal_(0.0, noise, generator=generator)
            kernel.copy_(filters)
        weight *= std / weight.std(correction=0)


def _spectra(
    outputs: int, inputs: int, taps: list[int], generator: torch.Generator
) -> torch.Tensor:
    """Return half spectra [outputs, inputs, *taps] of real kernels, orthonormal along inputs."""
    half = (*taps[:-1], taps[-1] // 2 + 1)
    size = math.prod(half)
    rows = min(inputs, size)
    bases = haar(rows, size, generator, batch=(outputs, -(-inputs // rows)))
    return bases.reshape(outputs, -1, *half)[:, :inputs]
