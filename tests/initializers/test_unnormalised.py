"""Fixup, SkipInit, ReZero and T-Fixup: networks without norms whose branches start small."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.nn.attention import SDPBackend, sdpa_kernel

import benchmark
from benchmark import models
from benchmark.errors import UsageError
from benchmark.norms import is_norm
from benchmark.plugins import initializers
from benchmark.recipe import Recipe
from benchmark.training.optimization import make_optimizer

METHODS = ("fixup", "skipinit", "rezero", "t_fixup")
FAMILIES = ("test_resnet", "test_vit", "test_convnext2", "test_byobnet")


def built(architecture: str, seed: int = 0) -> nn.Module:
    return models.build(architecture, channels=3, classes=10, image_size=32, seed=seed)


def initialized(architecture: str, treatment: str, seed: int = 0) -> nn.Module:
    model = built(architecture)
    benchmark.initialize(model, treatment, seed=seed)
    return model


def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
def test_the_change_of_architecture_is_declared(method: str) -> None:
    assert initializers.get(method).changes_architecture


@pytest.mark.parametrize("architecture", FAMILIES)
@pytest.mark.parametrize("method", METHODS[:3])
def test_no_norm_is_left_and_every_parameter_gets_a_gradient_in_the_end(
    method: str, architecture: str
) -> None:
    """Two steps: where a branch or the head is 0, others' first gradient is 0."""
    model = initialized(architecture, method).train()
    assert not any(is_norm(module) for module in model.modules())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    labels = torch.tensor([1, 2])
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images()), labels).backward()
        optimizer.step()
    silent = [n for n, each in model.named_parameters() if each.grad is None]
    assert silent == []
    added = [n for n, _ in model.named_parameters() if n.endswith("output_multiplier")]
    assert added
    moved = [model.get_parameter(name).grad.abs().item() > 0 for name in added]
    assert all(moved)


@pytest.mark.parametrize("method", ["skipinit", "rezero", "fixup"])
def test_every_resnet_block_is_its_skip_at_first(method: str) -> None:
    model = initialized("test_resnet", method).eval()
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        block = stage[0]
        values = torch.rand(2, block.conv1.in_channels, 8, 8)
        skip = values if block.downsample is None else block.downsample(values)
        assert torch.equal(block(values), skip.relu())


@pytest.mark.parametrize("method", ["skipinit", "rezero", "fixup"])
def test_every_transformer_block_is_the_identity_at_first(method: str) -> None:
    model = initialized("test_vit", method).eval()
    values = torch.randn(2, 5, model.embed_dim)
    for block in model.blocks:
        assert torch.equal(block(values), values)


def test_skipinit_has_a_multiplier_a_branch_and_conv_biases() -> None:
    model = initialized("test_resnet", "skipinit(alpha=0.5)")
    multipliers = {n: p for n, p in model.named_parameters() if n.endswith("output_multiplier")}
    assert len(multipliers) == 4
    assert all(parameter.item() == 0.5 for parameter in multipliers.values())
    convolutions = [each for each in model.modules() if isinstance(each, nn.Conv2d)]
    assert all(each.bias is not None and not each.bias.any() for each in convolutions)


def test_rezero_shares_one_multiplier_between_attention_and_mlp_of_a_block() -> None:
    model = initialized("test_vit", "rezero")
    multipliers = [n for n, _ in model.named_parameters() if n.endswith("output_multiplier")]
    assert len(multipliers) == len(model.blocks)
    block = model.blocks[0].eval()
    values = torch.randn(2, 5, model.embed_dim)
    block.drop_path1.output_multiplier.data.fill_(0.5)
    between = values + 0.5 * block.attn(values)
    assert torch.allclose(block(values), between + 0.5 * block.mlp(between), atol=1e-6)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_rezero_and_skipinit_leave_weights_as_built(architecture: str) -> None:
    before = dict(built(architecture).named_parameters())
    for method in ("rezero", "skipinit"):
        after = dict(initialized(architecture, method).named_parameters())
        assert all(torch.equal(after[name], before[name]) for name in set(after) & set(before))


def test_fixup_outputs_zero_and_scales_other_layers_of_branches() -> None:
    """L = 4 branches in test_resnet: L^(-1/2) for two layers, L^(-1/4) for three."""
    model = initialized("test_resnet", "fixup").eval()
    assert not model(images()).any()
    assert not model.layer1[0].conv2.weight.any()
    assert not model.layer3[0].conv3.weight.any()
    for conv, scale in [
        (model.layer1[0].conv1, 4**-0.5),
        (model.layer4[0].conv1, 4**-0.5),
        (model.layer3[0].conv1, 4**-0.25),
        (model.layer3[0].conv2, 4**-0.25),
        (model.conv1[0], 1.0),
    ]:
        fan_out = conv.out_channels * math.prod(conv.kernel_size) / conv.groups
        error = 4 / math.sqrt(2 * conv.weight.numel())
        expected = scale * math.sqrt(2 / fan_out)
        assert float(conv.weight.detach().std()) == pytest.approx(expected, rel=error)


def test_fixup_puts_a_scalar_bias_before_layers_and_activations() -> None:
    model = initialized("test_resnet", "fixup")
    block = model.layer1[0]
    for module in (block.conv1, block.conv2, block.act1, block.act2, model.fc):
        assert module.input_bias.shape == (1,)
        assert module.input_bias.item() == 0
    assert not hasattr(model.conv1[0], "input_bias")
    assert block.bn2.output_multiplier.item() == 1
    with torch.no_grad():
        block.act1.input_bias.fill_(3.0)
    assert torch.equal(block.act1(torch.tensor([-1.0, -5.0])), torch.tensor([2.0, 0.0]))


def test_t_fixup_scales_values_outputs_and_mlps_of_a_transformer_without_norms() -> None:
    model = initialized("test_vit", "t_fixup")
    assert not any(is_norm(module) for module in model.modules())
    factor = 0.67 * len(model.blocks) ** -0.25
    block = model.blocks[0]
    query, key, value = block.attn.qkv.weight.detach().chunk(3)
    for weight, scale in [
        *((query, 1.0), (key, 1.0), (value, factor), (block.attn.proj.weight, factor)),
        *((block.mlp.fc1.weight, factor), (block.mlp.fc2.weight, factor)),
        (model.head.weight, 1.0),
    ]:
        bound = scale * math.sqrt(6 / sum(weight.shape))
        assert weight.abs().max() <= bound * (1 + 1e-6)
        error = 4 * math.sqrt(0.2 / weight.numel())
        assert float(weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=error)


@pytest.mark.parametrize(
    ("treatment", "architecture", "message"),
    [
        ("fixup", "plain_cnn", "fixup: PlainCNN has no residual branches"),
        ("fixup", "convmixer_256_8(depth=2)", "has m = 1 layer"),
        ("skipinit", "test_nfnet", "no module of its own returns the one of"),
        ("rezero", "test_efficientnet_evos", "rezero takes norms out, but.*EvoNorm2dS0"),
        ("t_fixup", "test_resnet", "t_fixup is for transformers"),
    ],
)
def test_another_architecture_is_refused_with_the_reason_and_left_alone(
    treatment: str, architecture: str, message: str
) -> None:
    model = built(architecture)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        benchmark.initialize(model, treatment)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("method", METHODS)
def test_a_bfloat16_model_stays_one(method: str) -> None:
    model = built("test_vit").bfloat16().eval()
    benchmark.initialize(model, method)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert torch.isfinite(model(images().bfloat16())).all()


def test_layer_scales_start_at_one_since_multipliers_take_their_place() -> None:
    model = built("test_convnext2")
    scales = [each for name, each in model.named_parameters() if name.endswith(".gamma")]
    assert scales
    assert all(each.max() < 0.1 for each in scales)
    benchmark.initialize(model, "skipinit")
    assert all((each == 1).all() for each in scales)


@pytest.mark.parametrize("method", METHODS[:3])
def test_the_optimizer_of_a_recipe_trains_the_scalars_without_weight_decay(method: str) -> None:
    model = initialized("test_resnet", method)
    optimizer = make_optimizer(model, Recipe(weight_decay=0.1))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert set(decay) == {id(parameter) for parameter in model.parameters()}
    scalars = [p for n, p in model.named_parameters() if n.endswith(("multiplier", "input_bias"))]
    assert scalars
    assert all(decay[id(scalar)] == 0 for scalar in scalars)
    assert decay[id(model.fc.weight)] == 0.1


@pytest.mark.parametrize("method", METHODS[:3])
def test_copies_and_pickles_of_the_model_compute_the_same(method: str) -> None:
    model = initialized("test_resnet", method).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("output_multiplier", "input_bias", "fc.weight")):
                parameter.add_(0.3)
    expected = model(images())
    assert expected.abs().max() > 0
    assert torch.equal(copy.deepcopy(model)(images()), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(images()), expected)


@pytest.mark.parametrize("method", METHODS[:3])
def test_stacked_models_compute_what_each_computes(method: str) -> None:
    """What training several networks as one does: parameters stacked, the module a template."""
    replicas = [initialized("test_vit", method, seed=seed).eval() for seed in (0, 1)]
    with torch.no_grad():
        for value, replica in enumerate(replicas, start=1):
            for name, parameter in replica.named_parameters():
                if name.endswith(("output_multiplier", "input_bias")):
                    parameter.fill_(0.1 * value)
    parameters, buffers = stack_module_state(replicas)
    template = copy.deepcopy(replicas[0]).to("meta")

    batch = images()

    def call(parameters, buffers):
        return functional_call(template, (parameters, buffers), (batch,))

    with sdpa_kernel(SDPBackend.MATH):
        outputs = torch.vmap(call)(parameters, buffers)
    for output, replica in zip(outputs, replicas, strict=True):
        assert torch.allclose(output, replica(batch), atol=1e-5)
