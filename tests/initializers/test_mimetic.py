"""Mimetic: products of query and key, value and projection, in nn.Linear's layout."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import benchmark
from benchmark import models
from benchmark.errors import UsageError


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, *, head_first: bool = False) -> None:
        super().__init__()
        self.num_heads = heads
        self.head_first = head_first
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)


def test_value_and_projection_compose_to_the_target() -> None:
    """proj.weight @ value.weight = (a Z - b I)^T: the identity part and the noise's moments."""
    width = 256
    model = Attention(width, heads=4)
    benchmark.initialize(model, "mimetic(value_noise=0.3, value_identity=0.5)")
    value = model.qkv.weight.detach().double()[2 * width :]
    product = model.proj.weight.detach().double() @ value
    noise = (product + 0.5 * torch.eye(width)) * math.sqrt(width) / 0.3
    assert abs(noise.mean()) < 4 / width
    assert abs(noise.square().mean() - 1) < 4 * math.sqrt(2) / width
    assert abs(noise.diagonal().mean()) < 4 / math.sqrt(width)


def test_factors_are_balanced() -> None:
    """Both carry the square roots of the singular values: V V^T = P^T P up to rotation."""
    model = Attention(64, heads=2)
    benchmark.initialize(model, "mimetic")
    value = torch.linalg.svdvals(model.qkv.weight.detach()[128:])
    assert torch.allclose(value, torch.linalg.svdvals(model.proj.weight.detach()), atol=1e-4)


def test_without_noise_a_single_head_has_the_identity_for_query_and_key() -> None:
    model = Attention(32, heads=1)
    benchmark.initialize(model, "mimetic(query_key_noise=0)")
    query, key, _ = model.qkv.weight.detach().chunk(3)
    assert torch.allclose(query.T @ key, 0.7 * torch.eye(32), atol=1e-5)


@pytest.mark.parametrize("head_first", [False, True])
def test_each_heads_query_and_key_are_the_best_approximation_of_its_rank(head_first: bool) -> None:
    """The part of largest singular values, of noise alone about 0.7 * 2 at the top."""
    width, heads = 128, 4
    model = Attention(width, heads, head_first=head_first)
    benchmark.initialize(model, "mimetic")
    weight = model.qkv.weight.detach().double()
    if head_first:
        packed = weight.view(heads, 3, -1, width).transpose(0, 1)
    else:
        packed = weight.view(3, heads, -1, width)
    for head in range(heads):
        query, key = packed[0, head], packed[1, head]
        product = query.T @ key
        singular = torch.linalg.svdvals(product)
        assert singular[31] > 0.7
        assert singular[32] < 1e-5
        gram = query @ query.T
        assert torch.allclose(gram, torch.diag(singular[:32]), atol=1e-5)
        # Trace of the top quarter of 0.7 Z + 0.7 I: positive, as the identity makes it.
        assert product.trace() > 0.1 * width
    products = [packed[0, head].T @ packed[1, head] for head in range(heads)]
    assert (products[0] - products[1]).abs().max() > 0.1


def test_a_vit_keeps_all_but_attention_and_positions() -> None:
    model = models.build("test_vit", channels=3, classes=10, image_size=64, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    benchmark.initialize(model, "mimetic")
    changed = {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    attention = {name for name in before if name.endswith(("attn.qkv.weight", "attn.proj.weight"))}
    assert changed == attention | {"pos_embed"}
    assert model.pos_embed.requires_grad
    positions = model.pos_embed.detach()[0, model.num_prefix_tokens :]
    assert torch.allclose(positions.square().sum(1), torch.tensor(positions.shape[1] / 2))
    nearest = torch.cdist(positions, positions) + 100 * torch.eye(len(positions))
    assert nearest.min() > 0.1
    benchmark.initialize(model, "mimetic(position=false)", seed=1)
    assert torch.equal(model.pos_embed.detach()[0, model.num_prefix_tokens :], positions)


def test_a_model_without_attention_is_refused() -> None:
    with pytest.raises(UsageError, match="packs q, k and v"):
        benchmark.initialize(nn.Sequential(nn.Linear(4, 4)), "mimetic")
