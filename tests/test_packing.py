"""Packing: q, k and v are found in timm's attention modules and taken apart as these do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import benchmark
from benchmark import models
from benchmark.layers import describe
from benchmark.packing import Packing


@pytest.mark.parametrize(
    "packing",
    [
        Packing(("",), (12,)),
        Packing(("q", "k", "v"), (4, 4, 4)),
        Packing(("q", "k", "v"), (1, 4, 7)),
        Packing(("q", "k", "v"), (1, 1, 2), heads=3),
    ],
    ids=["single", "equal", "unequal", "interleaved"],
)
def test_what_is_taken_apart_is_put_together_again(packing: Packing) -> None:
    for shape in ((12, 5), (12, 2, 3, 3)):
        weight = torch.randn(shape)
        parts = packing.unpack(weight)
        assert [len(part) for part in parts] == [rows * packing.heads for rows in packing.rows]
        assert torch.equal(packing.pack(parts), weight)


def test_the_parts_of_a_levit_are_the_queries_keys_and_values_that_it_computes() -> None:
    """LeViT splits the output head by head; so must the rows of the weight be."""
    from timm.models.levit import Attention

    attention = Attention(dim=6, key_dim=2, num_heads=3, attn_ratio=2.0, resolution=(2, 2))
    linear = attention.qkv.linear
    layer = next(layer for layer, _ in describe(attention) if layer.name == "qkv.linear")
    tokens = torch.randn(1, 4, 6)
    heads = linear(tokens).view(1, 4, 3, -1).split([2, 2, 4], dim=3)
    for part, expected in zip(layer.packing.unpack(linear.weight), heads, strict=True):
        assert torch.allclose(tokens @ part.T, expected.flatten(2), atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "parts", "heads"),
    [
        ("test_vit", ("q", "k", "v"), {1}),
        ("pvt_v2_b0", ("k", "v"), {1}),
        ("tnt_s_patch16_224(depth=1)", ("q", "k"), {1}),
        ("test_coatnet", ("q", "k", "v"), {2, 3}),
        ("mobilevitv2_050", ("q", "k", "v"), {1}),
    ],
)
def test_timms_packed_layers_are_found(
    architecture: str, parts: tuple[str, ...], heads: set[int]
) -> None:
    with torch.device("meta"):
        model = models.build(architecture, channels=3, classes=10, image_size=224, seed=0)
    packed = [layer for layer, _ in describe(model) if layer.blocks > 1]
    assert {layer.packing.parts for layer in packed} == {parts}
    assert {layer.packing.heads for layer in packed} == heads
    assert all(layer.role == "qkv" for layer in packed)


def test_the_projections_of_multihead_attention_are_layers() -> None:
    equal = nn.MultiheadAttention(8, 2)
    layers = {layer.name: layer for layer, _ in describe(equal)}
    assert set(layers) == {"in_proj", "out_proj"}
    assert (layers["in_proj"].role, layers["in_proj"].blocks) == ("qkv", 3)
    assert layers["in_proj"].bias == "in_proj_bias"
    unequal = nn.MultiheadAttention(8, 2, kdim=6, vdim=4)
    shapes = {layer.name: layer.shape for layer, _ in describe(unequal)}
    assert shapes == {"q_proj": (8, 8), "k_proj": (8, 6), "v_proj": (8, 4), "out_proj": (8, 8)}
    for model in (equal, unequal):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        benchmark.initialize(model, "orthogonal")
        changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert changed == {n for n in before if n.endswith("weight")}
