"""What holds for every structured initializer on every layer of timm's test models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import timm
import torch
from torch import nn

from benchmark.layers import Layer, describe
from benchmark.plugins import initializers
from benchmark.seeds import torch_generator
from tests.random_state import global_state_kept

METHODS = (
    "convolution_aware",
    "dct",
    "delta_orthogonal",
    "dirac",
    "doubly_centred",
    "gaussian_submatrix",
    "hadamard",
    "looks_linear",
    "low_rank",
    "sinusoidal",
    "small_init",
    "sobol",
    "sobol(points=neuron)",
    "sparse",
    "sparse_incoming",
    "structured_sparse",
    "tanh_fixed_point",
    "zero",
)


def fill(layer: Layer, method: str, seed: int) -> torch.Tensor:
    found, arguments = initializers.resolve(method)
    weight = torch.full(layer.shape, float("nan"))
    found.function(weight, layer, torch_generator(seed, layer.name), **arguments)
    return weight


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices: threads cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def timm_layers() -> list[Layer]:
    """Return one layer of every kind, role and shape in timm's test models, and a few others."""
    found: dict[Layer, Layer] = {}
    for name in timm.list_models("test_*"):
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=10)
        for layer, _ in describe(model):
            found.setdefault(dataclasses.replace(layer, name="", index=0, depth=0), layer)
    extra = nn.ModuleList(
        [
            nn.Conv1d(3, 6, 4),
            nn.Conv3d(2, 4, (1, 2, 3)),
            nn.ConvTranspose2d(8, 12, 2, groups=4),
            nn.Linear(1, 1),
            nn.Conv2d(1, 1, 1),
        ]
    )
    return [*found.values(), *(layer for layer, _ in describe(extra))]


@pytest.mark.parametrize("method", METHODS)
def test_every_layer_is_filled_with_finite_weights(method: str, timm_layers: list[Layer]) -> None:
    """Every entry is written, none but ZerO's residual ends and sparse layers is all zero."""
    assert len(timm_layers) > 100
    with global_state_kept():
        for layer in timm_layers:
            weight = fill(layer, method, seed=0)
            assert torch.isfinite(weight).all(), layer
            if layer.role != "residual_end" and not method.startswith("sparse"):
                assert weight.any(), layer


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [0, 7])
def test_a_seed_decides_the_bytes_and_another_other_ones_unless_deterministic(
    method: str, seed: int
) -> None:
    modules = nn.ModuleList(
        [nn.Linear(24, 48), nn.Conv2d(8, 16, 3), nn.Conv2d(8, 16, 3, groups=4), nn.Linear(4, 4)]
    )
    deterministic = initializers.resolve(method)[0].deterministic
    for layer, _ in describe(modules)[:-1]:
        first = fill(layer, method, seed)
        assert torch.equal(first, fill(layer, method, seed))
        assert torch.equal(first, fill(layer, method, seed + 1)) == deterministic


def test_every_method_names_its_source_and_says_what_it_does_in_one_line() -> None:
    for method in METHODS:
        found = initializers.resolve(method)[0]
        assert found.source, method
        assert 20 < len(found.summary) < 90, method
