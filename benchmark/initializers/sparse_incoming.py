"""Martens' sparse initialisation: every neuron listens to a few inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.matrices import fill_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "sparse_incoming",
    summary="each neuron has 15 incoming weights from N(0, 1), all others are zero",
    paper="Martens 2010; Sutskever, Martens, Dahl and Hinton 2013",
)
def sparse_incoming(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    connections: int = 15,
    std: float = 1.0,
) -> None:
    """Draw `connections` weights of every row of the matrix [out, in] from N(0, std^2).

    Their places are uniform without replacement; a row that has fewer inputs is dense. The number
    is independent of the width, and so is the variance it passes on, connections * std^2: 15 as
    published, for networks that squash it; std = 0.365 gives ReLU networks He's 2. Martens 2010.
    """
    import torch

    def connected(rows: int, columns: int) -> torch.Tensor:
        order = torch.rand(rows, columns, generator=generator).argsort(dim=1)
        places = order[:, : min(connections, columns)]
        values = torch.empty(places.shape).normal_(0.0, std, generator=generator)
        return torch.zeros(rows, columns).scatter_(1, places, values)

    fill_matrix(weight, layer, connected)
