"""DCT in every layer: orthonormal, full band, and the same matrix for every seed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.initializers.weights import assert_orthonormal, filled


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(96, 96),
        lambda: nn.Linear(20, 100),
        lambda: nn.Linear(100, 20),
        lambda: nn.Conv2d(8, 16, 3),
        lambda: nn.Conv2d(64, 64, 5, groups=64),
    ],
    ids=["square", "tall", "wide", "conv", "depthwise"],
)
def test_the_matrix_is_orthonormal(build) -> None:
    assert_orthonormal(filled(build(), "dct(gain=1.5)").flatten(1), scale=1.5)


def test_a_layer_decorrelates_a_smooth_signal() -> None:
    """The paper's case: under the covariance rho^|i-j| cosines hardly mix, random axes do."""
    index = torch.arange(64)
    covariance = 0.95 ** (index[:, None] - index[None, :]).abs().double()
    mixing = {}
    for treatment in ("dct", "orthogonal"):
        transform = filled(nn.Linear(64, 64), treatment)
        turned = transform @ covariance @ transform.T
        mixing[treatment] = (turned - torch.diag(turned.diagonal())).norm()
    assert mixing["dct"] < 0.25 * mixing["orthogonal"]
