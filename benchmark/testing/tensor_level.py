"""Checks of a tensor-level initializer, called on one weight after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from benchmark.errors import UsageError
from benchmark.layers import Layer, describe
from benchmark.plugins import Initializer
from benchmark.testing import specimens
from benchmark.testing.state import global_random_state
from benchmark.testing.verdicts import NotApplicable, Unmet
from benchmark.wording import counted

EXPECTED = "every entry of the weight is set, none by what stood there before"

_DRAWS = 6
_TOLERANCE = 0.2
"""Allowed relative deviation of a mean square from a variance: over ten of its standard errors for
the smallest layer here, and far below the factor 2 or more by which a wrong fan misses it."""

Arguments = Mapping[str, Any]


class Twins(nn.Module):
    """Pairs of layers with the same fans in another guise, by the name of what is compared.

    A group of `grouped` is `group`; `transposed` and `forward_conv` lead from as many channels to
    as many; each matrix of `attention.qkv` is a `projection`; `pointwise` is `dense` as a
    convolution. The first and the last layer of a network may be special, and are not looked at.
    """

    PAIRS = (
        ("grouped", "group"),
        ("transposed", "forward_conv"),
        ("attention.qkv", "projection"),
        ("pointwise", "dense"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {"classifier": "head"}
        self.stem = nn.Conv2d(3, 16, 3)
        self.group = nn.Conv2d(16, 16, 3)
        self.grouped = nn.Conv2d(64, 64, 3, groups=4)
        self.forward_conv = nn.Conv2d(16, 48, 3)
        self.transposed = nn.ConvTranspose2d(16, 48, 3)
        self.projection = nn.Linear(48, 48)
        self.attention = nn.ModuleDict({"qkv": nn.Linear(48, 144)})
        self.dense = nn.Linear(96, 32)
        self.pointwise = nn.Conv2d(96, 32, 1)
        self.head = nn.Linear(32, 5)


def parts(layers: Iterable[Layer]) -> list[Layer]:
    """Return what a tensor-level method is called with: a layer for each packed matrix."""
    return [part for layer in layers for part in layer.split()]


def draw(
    method: Initializer, arguments: Arguments, layer: Layer, seed: int, before: float = 0.0
) -> torch.Tensor:
    """Return the weight that a method makes of a constant one, with a generator of `seed`."""
    weight = torch.full(layer.shape, before)
    generator = torch.Generator().manual_seed(seed)
    returned = method.function(weight, layer, generator, **arguments)
    where = f"{layer.name}, {'x'.join(map(str, layer.shape))}"
    if weight.device.type != "cpu":
        raise Unmet(f"{where}: the weight was moved to {weight.device}")
    if weight.shape != layer.shape or weight.dtype != torch.float32:
        raise Unmet(f"{where}: the weight became {tuple(weight.shape)} of {weight.dtype}")
    if returned is not None and returned is not weight:
        raise Unmet(
            f"{where}: it returns a {type(returned).__name__}, which nobody takes; fill the"
            " weight in place"
        )
    return weight


def fills_in_place(method: Initializer, arguments: Arguments) -> str:
    """Check that every entry of a weight is set, whatever stood there."""
    filled = 0
    for layer in _supported(method, arguments):
        one, other = (draw(method, arguments, layer, 0, before) for before in (7.0, -3.0))
        if (one == 7.0).all() and (other == -3.0).all():
            continue
        if not torch.equal(one, other):
            left = int((one != other).sum())
            raise Unmet(
                f"{left} of {one.numel()} entries of {layer.name} depend on what stood there"
            )
        if not one.isfinite().all():
            raise Unmet(f"{layer.name} is not finite")
        filled += 1
    if not filled:
        raise Unmet("no weight was filled; set it in place, as in weight.normal_(...)")
    return counted(filled, "layer")


def zero_is_a_seed(method: Initializer, arguments: Arguments) -> str:
    """Check that a generator seeded with 0 decides the weights, and others than that of 1."""
    differing = 0
    for layer in _supported(method, arguments):
        draws = []
        for state in (1, 2):
            with global_random_state(state):
                draws.append(draw(method, arguments, layer, 0))
        if not torch.equal(*draws):
            raise Unmet(f"a generator with the seed 0 gives other values in {layer.name} again")
        differing += not torch.equal(draws[0], draw(method, arguments, layer, 1))
    if not differing and not method.deterministic:
        raise Unmet("generators with the seeds 0 and 1 give the same weights")
    return f"it decides every layer, and {differing} otherwise than the seed 1"


def order_is_free(method: Initializer, arguments: Arguments) -> str:
    """Check that a layer's weight does not depend on the layers that came before it."""
    layers = _supported(method, arguments)
    results = [
        {(layer.name, layer.part): draw(method, arguments, layer, 0) for layer in order}
        for order in (layers, layers[::-1])
    ]
    for key, weight in results[0].items():
        if not torch.equal(weight, results[1][key]):
            raise Unmet(f"{key[0]} gets other values where the layers come in another order")
    return f"{counted(len(layers), 'layer')} forwards and backwards: the same bytes"


def variance_follows_fans(method: Initializer, arguments: Arguments) -> str:
    """Check the mean square of the weights: the declared variance, or that of a twin layer."""
    layers = {layer.name: layer for layer in parts(layer for layer, _ in describe(Twins()))}
    squares = {}
    for pair in Twins.PAIRS:
        for name in pair:
            try:
                squares[name] = _mean_square(method, arguments, layers[name])
            except UsageError:
                continue
    if not squares:
        raise NotApplicable("it supports none of the layers that are compared")
    if method.variance is not None:
        given = {name: each.default for name, each in method.parameters.items()} | {**arguments}
        expected = {name: method.variance(layers[name], **given) for name in squares}
        return _compare(
            [(f"variance of {name}", squares[name], expected[name]) for name in squares]
        )
    pairs = [pair for pair in Twins.PAIRS if set(pair) <= set(squares)]
    return _compare(
        [(f"variance of {one}, as of {two}", squares[one], squares[two]) for one, two in pairs]
    )


def works_on(method: Initializer, arguments: Arguments, network: str) -> str:
    """Check that every layer of a network gets finite weights.

    Raises UsageError where the method declares not to support one of them.
    """
    layers = parts(specimens.layers(network))
    for layer in layers:
        if not draw(method, arguments, layer, 0).isfinite().all():
            raise Unmet(f"{layer.name} is not finite")
    return f"{counted(len(layers), 'weight')}, finite throughout"


def _compare(rows: Sequence[tuple[str, float, float]]) -> str:
    worst = 0.0
    for what, found, expected in rows:
        deviation = abs(found - expected) / expected if expected else abs(found)
        if deviation > _TOLERANCE:
            raise Unmet(
                f"{what}: {found:.4g} where {expected:.4g} belongs; take layer.fan_in and"
                " layer.fan_out, not the shape, or declare variance="
            )
        worst = max(worst, deviation)
    return f"{counted(len(rows), 'layer')}, off by {worst:.1%} at most"


def _mean_square(method: Initializer, arguments: Arguments, layer: Layer) -> float:
    draws = [draw(method, arguments, layer, seed) for seed in range(_DRAWS)]
    return float(torch.stack(draws).double().square().mean())


def _supported(method: Initializer, arguments: Arguments) -> list[Layer]:
    """Return the specimen's layers that the method does not refuse."""
    layers, reasons = [], []
    for layer in parts(specimens.layers(specimens.SPECIMEN)):
        try:
            draw(method, arguments, layer, 0)
        except UsageError as error:
            reasons.append(str(error))
            continue
        layers.append(layer)
    if not layers:
        raise NotApplicable(reasons[0])
    return layers
