"""Residual branches as the data flow shows them: their layers, ends, last norms and exits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark import models
from benchmark.branches import Branch
from benchmark.errors import UsageError
from benchmark.residuals import residual_branches
from tests.random_state import global_state_kept


def built(architecture: str, size: int = 32) -> nn.Module:
    return models.build(architecture, channels=3, classes=10, image_size=size, seed=0)


class Block(nn.Module):
    """x + conv(relu(norm(conv(x)))) with what a test adds."""

    def __init__(self, skip: nn.Module | None = None, gate: bool = False) -> None:
        super().__init__()
        # Registered in another order than they are executed in.
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.skip = skip or nn.Identity()
        self.gate = nn.Conv2d(4, 4, 1) if gate else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        branch = self.last(self.norm(self.first(images)).relu())
        if self.gate is not None:
            branch = branch * self.gate(branch.mean((2, 3), keepdim=True)).sigmoid()
        return branch + self.skip(images)


def around(block: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), block, nn.Flatten(), nn.Linear(4 * 32 * 32, 2))


def only(block: nn.Module) -> Branch:
    (branch,) = residual_branches(around(block))
    return branch


def test_layers_come_in_execution_order_and_the_last_is_the_end() -> None:
    branch = only(Block())
    assert branch == Branch(("1.first", "1.last"), ("1.last",), (), "1.last")


def test_a_skip_with_fewer_layers_is_the_skip() -> None:
    branch = only(Block(skip=nn.Conv2d(4, 4, 1)))
    assert branch.layers == ("1.first", "1.last")


def test_two_ways_alike_are_no_residual_connection() -> None:
    skip = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    assert residual_branches(around(Block(skip=skip))) == ()


def test_layers_that_make_a_gate_are_no_layers_of_the_branch() -> None:
    branch = only(Block(gate=True))
    assert branch.layers == ("1.first", "1.last")
    assert branch.ends == ("1.last",)
    assert branch.exit is None


def test_chunks_of_one_tensor_are_not_one_tensor() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            one, other = images.chunk(2, dim=1)
            return torch.cat([self.conv(one) + other, other], dim=1)

    assert residual_branches(around(Halves())) == ()


def test_a_chunk_may_be_the_start_of_a_branch() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            one, other = images.chunk(2, dim=1)
            return torch.cat([self.conv(one) + one, other], dim=1)

    assert only(Half()).layers == ("1.conv",)


def test_a_module_that_is_called_twice_is_nobodys_exit() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
            self.drop = nn.Identity()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            images = images + self.drop(self.one(images) * 2)
            return images + self.drop(self.other(images) * 2)

    branches = residual_branches(around(Twice()))
    assert [branch.layers for branch in branches] == [("1.one",), ("1.other",)]
    assert [branch.exit for branch in branches] == [None, None]


def test_branches_of_a_resnet_with_basic_and_bottleneck_blocks() -> None:
    found = residual_branches(built("test_resnet"))
    assert [len(branch.layers) for branch in found] == [2, 2, 3, 2]
    assert found[2] == Branch(
        ("layer3.0.conv1", "layer3.0.conv2", "layer3.0.conv3"),
        ("layer3.0.conv3",),
        ("layer3.0.bn3",),
        "layer3.0.bn3",
    )


def test_branches_of_a_vision_transformer() -> None:
    model = built("test_vit")
    found = residual_branches(model)
    assert len(found) == 2 * len(model.blocks)
    assert found[0] == Branch(
        ("blocks.0.attn.qkv", "blocks.0.attn.proj"),
        ("blocks.0.attn.proj",),
        (),
        "blocks.0.drop_path1",
    )
    assert found[1].ends == ("blocks.0.mlp.fc2",)


def test_an_mlp_that_makes_position_biases_is_no_layer_of_the_attention() -> None:
    found = residual_branches(built("test_vit_relpos"))
    assert found[0].layers == ("blocks.0.attn.qkv", "blocks.0.attn.proj")


@pytest.mark.parametrize(
    ("architecture", "count"),
    [("test_byobnet", 4), ("test_convnext2", 4), ("convmixer_256_8", 8), ("plain_cnn", 0)],
)
def test_number_of_branches(architecture: str, count: int) -> None:
    assert len(residual_branches(built(architecture))) == count


def test_reading_a_model_changes_neither_it_nor_the_random_state() -> None:
    model = built("test_resnet").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with global_state_kept():
        residual_branches(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_no_image_passes_through_is_refused() -> None:
    class Fussy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise ValueError("not these")

    with pytest.raises(UsageError, match="the structure of Fussy cannot be read"):
        residual_branches(Fussy())
