"""Activations and their recommended gains."""

from __future__ import annotations

import math

GAINS = {
    "relu": math.sqrt(2.0),
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "selu": 0.75,
    "gelu": 1.5335304,
    "silu": 1.6765325,
    "hardswish": 1.7366572,
    "mish": 1.4868476,
    "elu": 1.2451983,
    "relu6": 1.4142136,
    "softplus": 1.0418668,
    "hardsigmoid": 1.0,
}
"""The gain that keeps the variance of a signal through a layer with this activation behind it.

For relu, sigmoid (hardsigmoid alike), tanh, selu and leaky_relu (by its slope) those of
`torch.nn.init.calculate_gain`; for the others, which torch does not list, He's condition
(arXiv:1502.01852, equation 7) solved for the activation phi: gain = 1 / sqrt(E[phi(z)^2]) with z
standard normal.
"""


def gain_of(activation: str | None, slope: float = 0.01) -> float:
    """Return the gain of an activation by name, 1 for none; `slope` is that of leaky_relu."""
    if activation == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + slope**2))
    return GAINS[activation] if activation else 1.0
