"""DCT attention: the named blocks of every packed qkv, and nothing else."""

from __future__ import annotations

import pytest
import torch

import benchmark
from benchmark import models
from benchmark.errors import UsageError
from benchmark.matrices import dct_matrix


@pytest.mark.parametrize("projections", ["q", "kv", "qkv"])
def test_the_named_projections_are_the_dct_matrix_and_all_else_stays(projections: str) -> None:
    model = models.build("test_vit", channels=3, classes=10, image_size=32, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    benchmark.initialize(model, f"dct_attention(projections={projections})")
    expected = dct_matrix(64, 64).float()
    for name, tensor in model.state_dict().items():
        if name.endswith("attn.qkv.weight"):
            old = dict(zip("qkv", before[name].chunk(3), strict=True))
            for letter, block in zip("qkv", tensor.chunk(3), strict=True):
                assert torch.equal(block, expected if letter in projections else old[letter])
        else:
            assert torch.equal(tensor, before[name]), name


def test_a_model_without_packed_attention_is_refused() -> None:
    model = models.build("test_resnet", channels=3, classes=10, image_size=32, seed=0)
    with pytest.raises(UsageError, match="pack q, k and v"):
        benchmark.initialize(model, "dct_attention")
