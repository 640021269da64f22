"""Layers: fans, blocks and roles of every kind of Conv and Linear weight."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from benchmark import models
from benchmark.layers import Layer, describe


def layers_of(model: nn.Module) -> dict[str, Layer]:
    return {layer.name: layer for layer, _ in describe(model)}


def only_layer(module: nn.Module) -> Layer:
    (layer,) = layers_of(nn.Sequential(module)).values()
    return layer


def roles(model: nn.Module) -> dict[str, str]:
    """Return the roles that are not the common one."""
    return {name: layer.role for name, layer in layers_of(model).items() if layer.role != "body"}


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    return models.build("test_vit", channels=3, classes=10, image_size=32, seed=0)


@pytest.mark.parametrize(
    ("module", "fan_in", "fan_out"),
    [
        (nn.Linear(5, 7), 5, 7),
        (nn.Conv1d(4, 6, 5), 4 * 5, 6 * 5),
        (nn.Conv2d(3, 8, (3, 5)), 3 * 15, 8 * 15),
        (nn.Conv3d(2, 4, 3), 2 * 27, 4 * 27),
        (nn.Conv2d(8, 12, 3, groups=4), 2 * 9, 3 * 9),
        (nn.Conv2d(16, 16, 5, groups=16), 25, 25),
        (nn.Conv2d(16, 32, 3, groups=16), 9, 2 * 9),
        (nn.ConvTranspose2d(8, 16, 3), 8 * 9, 16 * 9),
        (nn.ConvTranspose2d(8, 12, 3, groups=4), 2 * 9, 3 * 9),
        (nn.ConvTranspose1d(6, 4, 7), 6 * 7, 4 * 7),
    ],
    ids=[
        *("linear", "conv1d", "conv2d", "conv3d", "grouped", "depthwise", "multiplied depthwise"),
        *("transposed", "grouped transposed", "transposed 1d"),
    ],
)
def test_fans_count_the_connections_of_one_neuron(
    module: nn.Module, fan_in: int, fan_out: int
) -> None:
    layer = only_layer(module)
    assert (layer.fan_in, layer.fan_out) == (fan_in, fan_out)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(8, 12, 3, groups=4, padding=1, bias=False),
        nn.ConvTranspose2d(8, 12, 3, groups=4, padding=1, bias=False),
        nn.Conv2d(4, 4, 5, groups=4, padding=2, bias=False),
    ],
    ids=["grouped", "grouped transposed", "depthwise"],
)
def test_fans_are_what_the_layer_computes(module: nn.Module) -> None:
    """With weights of one, an inner output counts its inputs, an inner input its outputs."""
    nn.init.ones_(module.weight)
    layer = only_layer(module)
    images = torch.ones(1, module.in_channels, 9, 9, requires_grad=True)
    outputs = module(images)
    outputs.sum().backward()
    assert outputs[0, 0, 4, 4] == layer.fan_in
    assert images.grad[0, 0, 4, 4] == layer.fan_out


def test_a_packed_qkv_has_three_blocks_and_the_fan_out_of_one(vit: nn.Module) -> None:
    layer = layers_of(vit)["blocks.0.attn.qkv"]
    width = layer.shape[1]
    assert layer.shape == (3 * width, width)
    assert (layer.role, layer.blocks) == ("qkv", 3)
    assert (layer.fan_in, layer.fan_out) == (width, width)
    weight = torch.arange(3.0 * width * width).reshape(3 * width, width)
    query, key, value = layer.packing.unpack(weight)
    assert query.shape == key.shape == value.shape == (width, width)
    assert torch.equal(torch.cat([query, key, value]), weight)
    parts = layer.split()
    assert [part.part for part in parts] == ["q", "k", "v"]
    assert {(part.shape, part.fan_in, part.fan_out) for part in parts} == {
        ((width, width), width, width)
    }


def test_a_layer_called_qkv_of_another_shape_is_not_packed() -> None:
    layer = layers_of(nn.Sequential(OrderedDict(stem=nn.Linear(4, 4), qkv=nn.Linear(8, 12))))["qkv"]
    assert layer.blocks == 1
    assert layer.fan_out == 12


def test_roles_on_test_vit(vit: nn.Module) -> None:
    found = roles(vit)
    assert found.pop("patch_embed.proj") == "stem"
    assert found.pop("head") == "head"
    expected = {}
    for index in range(len(vit.blocks)):
        expected[f"blocks.{index}.attn.qkv"] = "qkv"
        expected[f"blocks.{index}.attn.proj"] = "residual_end"
        expected[f"blocks.{index}.mlp.fc2"] = "residual_end"
    assert found == expected


@pytest.mark.parametrize(
    ("architecture", "stem", "head"),
    [("test_resnet", "conv1.0", "fc"), ("plain_cnn", "stages.0.0", "head")],
)
def test_roles_on_convolutional_networks(architecture: str, stem: str, head: str) -> None:
    model = models.build(architecture, channels=1, classes=10, image_size=32, seed=0)
    found = {name: role for name, role in roles(model).items() if role != "residual_end"}
    assert found == {stem: "stem", head: "head"}


def test_both_heads_of_a_distilled_network_are_heads() -> None:
    with torch.device("meta"):
        model = models.build(
            "deit_tiny_distilled_patch16_224(depth=1)",
            channels=3,
            classes=10,
            image_size=224,
            seed=0,
        )
    found = roles(model)
    assert {name for name, role in found.items() if role == "head"} == {"head", "head_dist"}


def test_roles_on_a_network_that_timm_did_not_build() -> None:
    """The first layer is the stem, the last linear one the head."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 8), nn.Linear(8, 2)
    )
    assert roles(model) == {"0": "stem", "4": "head"}
    assert roles(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))) == {"0": "stem"}
    assert roles(nn.Linear(3, 2)) == {"": "head"}


class HeadFirst(nn.Module):
    """Registers its layers in another order than it executes them, as plugins do."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head, self.stem, self.gate = head, nn.Conv2d(3, 8, 3), nn.Linear(8, 8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = self.stem(images).relu()
        values = values * self.gate(values.mean((2, 3))).sigmoid()[:, :, None, None]
        if isinstance(self.head, nn.Linear):
            return self.head(values.mean((2, 3)))
        return self.head(values).mean((2, 3))


@pytest.mark.parametrize("head", [nn.Linear(8, 4), nn.Conv2d(8, 4, 1)])
def test_the_head_of_a_plain_network_is_the_layer_executed_last(head: nn.Module) -> None:
    assert roles(HeadFirst(head)) == {"head": "head", "stem": "stem"}


@pytest.mark.parametrize("architecture", ["tresnet_m", "naflexvit_base_patch16_gap"])
def test_a_network_that_rearranges_its_images_into_patches_has_roles(architecture: str) -> None:
    with torch.device("meta"):
        model = models.build(architecture, channels=1, classes=4, image_size=64, seed=0)
    found = roles(model)
    assert sum(role == "residual_end" for role in found.values()) > 20
    assert any(layer.activation for layer, _ in describe(model))


def test_index_and_depth_follow_the_order_of_registration(vit: nn.Module) -> None:
    found = [layer for layer, _ in describe(vit)]
    assert [layer.index for layer in found] == list(range(len(found)))
    assert {layer.depth for layer in found} == {len(found)}
    names = [name for name, module in vit.named_modules() if isinstance(module, nn.Linear)]
    assert [layer.name for layer in found if layer.kind == "linear"] == names


def test_only_conv_and_linear_weights_are_layers() -> None:
    model = nn.ModuleList(
        [nn.Embedding(3, 4), nn.LayerNorm(4), nn.BatchNorm2d(4), nn.PReLU(), nn.Linear(4, 4)]
    )
    ((layer, parameter),) = describe(model)
    assert layer.name == "4"
    assert parameter is model[4].weight


def test_a_tied_weight_is_one_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    found = layers_of(model)
    assert list(found) == ["0", "1"]
    assert {layer.depth for layer in found.values()} == {2}
