"""Zero-gamma, GPT-2 and DeepNorm: residual branches of the network as it is, scaled by depth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import benchmark
from benchmark import models
from benchmark.errors import UsageError


def built(architecture: str, seed: int = 0) -> nn.Module:
    return models.build(architecture, channels=3, classes=10, image_size=32, seed=seed)


def changed(model: nn.Module, reference: nn.Module) -> set[str]:
    before = reference.state_dict()
    return {n for n, each in model.state_dict().items() if not torch.equal(each, before[n])}


def initialized(architecture: str, treatment: str, seed: int = 0) -> nn.Module:
    model = built(architecture)
    benchmark.initialize(model, treatment, seed=seed)
    return model


def test_zero_gamma_zeroes_the_last_norm_of_every_branch_and_nothing_else() -> None:
    model, reference = (
        built("test_resnet(zero_init_last=false)"),
        built("test_resnet(zero_init_last=false)"),
    )
    benchmark.initialize(model, "zero_gamma")
    gammas = {f"layer{stage}.0.bn{3 if stage == 3 else 2}.weight" for stage in (1, 2, 3, 4)}
    assert changed(model, reference) == gammas
    assert all(not model.state_dict()[name].any() for name in gammas)


def test_zero_gamma_makes_each_block_its_skip() -> None:
    model = built("test_resnet(zero_init_last=false)")
    benchmark.initialize(model, "zero_gamma")
    block = model.layer1[0].eval()
    images = torch.rand(2, block.conv1.in_channels, 8, 8)
    skip = images if block.downsample is None else block.downsample(images)
    assert torch.equal(block(images), skip.relu())


@pytest.mark.parametrize("architecture", ["test_vit", "plain_cnn"])
def test_zero_gamma_refuses_a_network_whose_branches_end_in_no_norm(architecture: str) -> None:
    with pytest.raises(UsageError, match="zero_gamma: no residual branch"):
        benchmark.initialize(built(architecture), "zero_gamma")


def test_gpt2_scales_the_ends_of_branches_by_the_root_of_their_number() -> None:
    """12 branches in test_vit: within four standard errors of each weight's deviation."""
    model = initialized("test_vit", "gpt2")
    branches = 2 * len(model.blocks)
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 and name.endswith(("qkv.weight", "fc1.weight", "head.weight")):
            expected = 0.02
        elif name.endswith(("attn.proj.weight", "fc2.weight")):
            expected = 0.02 / math.sqrt(branches)
        else:
            continue
        error = 4 / math.sqrt(2 * parameter.numel())
        assert float(parameter.detach().std()) == pytest.approx(expected, rel=error), name


def test_gpt2_zeroes_biases_and_leaves_norms_and_embeddings() -> None:
    model, reference = initialized("test_vit", "gpt2(std=0.1)"), built("test_vit")
    nn.init.ones_(reference.head.bias)
    names = changed(model, reference)
    assert not any("norm" in name or "pos_embed" in name for name in names)
    assert not model.head.bias.any()
    assert float(model.head.weight.detach().std()) == pytest.approx(0.1, rel=0.2)


def test_gpt2_needs_residual_branches() -> None:
    with pytest.raises(UsageError, match="gpt2: PlainCNN has no residual branches"):
        benchmark.initialize(built("plain_cnn"), "gpt2")


def test_deepnorm_gives_beta_to_values_outputs_and_mlps_and_one_to_queries_and_keys() -> None:
    model, reference = initialized("test_vit", "deepnorm"), built("test_vit")
    depth = len(model.blocks)
    beta = (8 * depth) ** -0.25
    for block in model.blocks:
        query, key, value = block.attn.qkv.weight.detach().chunk(3)
        gains = [(query, 1.0), (key, 1.0), (value, beta), (block.attn.proj.weight, beta)]
        gains += [(block.mlp.fc1.weight, beta), (block.mlp.fc2.weight, beta)]
        for weight, gain in gains:
            expected = gain * math.sqrt(2 / sum(weight.shape))
            error = 4 / math.sqrt(2 * weight.numel())
            assert float(weight.detach().std()) == pytest.approx(expected, rel=error)
    untouched = changed(model, reference)
    assert all(name.startswith("blocks.") and "norm" not in name for name in untouched)


def test_deepnorm_is_for_transformers() -> None:
    with pytest.raises(UsageError, match="deepnorm is for transformers.*is no Linear layer"):
        benchmark.initialize(built("test_resnet"), "deepnorm")


@pytest.mark.parametrize("treatment", ["gpt2", "deepnorm"])
def test_the_same_seed_draws_the_same_and_another_seed_does_not(treatment: str) -> None:
    first, again, other = (initialized("test_vit", treatment, seed) for seed in (0, 0, 1))
    assert changed(first, again) == set()
    assert "blocks.0.attn.qkv.weight" in changed(first, other)


def test_a_bfloat16_model_gets_the_float32_values_rounded() -> None:
    model, expected = built("test_vit").bfloat16(), initialized("test_vit", "gpt2")
    benchmark.initialize(model, "gpt2")
    weight = model.blocks[0].mlp.fc2.weight
    assert weight.dtype == torch.bfloat16
    assert torch.equal(weight, expected.blocks[0].mlp.fc2.weight.bfloat16())
