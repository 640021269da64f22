"""Convolution-aware: orthonormal spectra, He's variance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.initializers.weights import LAYERS, assert_gaussian, assert_orthonormal, filled


@pytest.mark.parametrize(("name", "fan_in"), [("conv", 576), ("grouped", 144)])
def test_the_variance_is_exactly_hes_and_the_mean_that_of_independent_filters(
    name: str, fan_in: int
) -> None:
    weight = filled(LAYERS[name](), "convolution_aware")
    assert weight.var(correction=0) * fan_in == pytest.approx(2.0, rel=1e-5)
    means = weight.flatten(1).mean(1)
    assert abs(means.mean()) < 4 * means.std() / math.sqrt(len(means))


def test_spectra_of_an_outputs_filters_are_orthonormal() -> None:
    """In one dimension, where the half spectrum of an odd kernel is free to be real.

    Seven taps have four frequencies: the channels come in orthonormal bases of four.
    """
    weight = filled(nn.Conv1d(12, 5, 7), "convolution_aware(noise=0)")
    spectra = torch.fft.rfft(weight)
    assert spectra.imag.abs().max() < 1e-6
    scale = float(spectra.real[0, 0].norm())
    for output in spectra.real:
        for basis in output.split(4):
            assert_orthonormal(basis, scale=scale)


def test_filters_are_symmetric_but_for_the_noise() -> None:
    """A real spectrum belongs to w[-i, -j] = w[i, j], with indices modulo the kernel."""
    turned = (0, -1, -2)
    smooth = filled(nn.Conv2d(8, 8, 3), "convolution_aware(noise=0)")
    assert torch.allclose(smooth, smooth[:, :, turned][:, :, :, turned], atol=1e-6)
    noisy = filled(nn.Conv2d(8, 8, 3), "convolution_aware")
    assert not torch.allclose(noisy, noisy[:, :, turned][:, :, :, turned], atol=0.05)


def test_kernels_of_one_tap_are_normal_and_linear_layers_orthogonal() -> None:
    assert_gaussian(filled(nn.Conv2d(256, 128, 1), "convolution_aware"), 2 / 256)
    assert_orthonormal(filled(nn.Linear(40, 24), "convolution_aware"))
