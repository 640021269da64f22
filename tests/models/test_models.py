"""Architectures: names, patterns, arguments, and builds that depend on their seed alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmark import models
from benchmark.errors import UsageError
from tests.random_state import global_state_kept, seed_globals


def state(architecture: str, seed: int, **given: int) -> dict[str, torch.Tensor]:
    sizes = {"channels": 1, "classes": 10, "image_size": 32, **given}
    return models.build(architecture, seed=seed, **sizes).state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet", "plain_cnn"])
def test_a_build_is_a_function_of_its_seed_and_leaves_global_random_state(
    architecture: str,
) -> None:
    builds = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 1)):
        seed_globals(global_seed)
        with global_state_kept():
            builds.append(state(architecture, seed))
    assert same(builds[0], builds[1])
    assert not same(builds[0], builds[2])


def test_a_build_does_not_seed_the_generators_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are global state as well, and putting back the CPU's would not put back theirs."""

    def seeded(seed: int) -> None:
        raise AssertionError("seeded every GPU")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    state("plain_cnn", 0)


def test_a_failed_build_leaves_global_random_state() -> None:
    with global_state_kept(), pytest.raises(UsageError):
        state("plain_cnn(widths=[4, -1])", 0)


def test_names_hold_timms_and_our_own() -> None:
    found = models.names()
    assert {"resnet50", "test_vit", "plain_cnn"} <= set(found)
    assert set(models.names("test_vit*")) >= {"test_vit", "test_vit2"}
    assert models.names("no_such_*") == []


def test_a_pattern_stands_for_the_names_that_match() -> None:
    assert models.expand("plain_*") == ["plain_cnn"]
    assert models.expand("test_vi?") == ["test_vit"]
    assert models.expand("test_*") == models.names("test_*")
    with pytest.raises(UsageError, match=r"no architecture matches 'no_such_\*'.*initbench list"):
        models.expand("no_such_*")


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("test_vit", "test_vit"),
        (" test_vit ", "test_vit"),
        ("test_resnet.r160_in1k", "test_resnet"),
        ("test_vit.r160_in1k(depth=2)", "test_vit(depth=2)"),
        ("test_vit(patch_size=4, depth=2)", "test_vit(depth=2, patch_size=4)"),
        ("plain_cnn(widths=[8,16])", "plain_cnn(widths=[8, 16])"),
    ],
)
def test_a_name_has_one_spelling_without_the_tag_of_weights(text: str, spelling: str) -> None:
    assert models.expand(text) == [spelling]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet5O", "unknown architecture 'resnet5O'; did you mean .*'resnet50'"),
        ("plain_cn", "did you mean 'plain_cnn'"),
        ("plain_cnn(4)", "name the arguments"),
        ("plain_cnn(4", "not a name"),
    ],
)
def test_an_unknown_or_wrongly_written_name_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        models.expand(text)


@pytest.mark.parametrize(
    "architecture",
    [
        "test_vit(depht=3)",
        "test_vit(num_heads=7)",
        "test_vit(patch_size=0)",
        "test_vit(embed_dim=-64)",
        "test_vit(norm_layer=no_such_norm)",
        "test_resnet(layers=3)",
        "plain_cnn(widths=[])",
        "plain_cnn(depth=deep)",
        "plain_cnn(num_classes=3)",
    ],
)
def test_an_argument_that_the_model_cannot_take_is_refused_naming_the_model(
    architecture: str,
) -> None:
    with pytest.raises(UsageError, match="cannot build .* for 1 x 32 x 32 images and 10 classes"):
        state(architecture, 0)


def test_an_error_without_a_message_is_named_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def failing(*given: object, **named: object) -> None:
        raise AssertionError

    monkeypatch.setattr(timm, "create_model", failing)
    with pytest.raises(UsageError, match="AssertionError"):
        state("plain_cnn", 0)


def test_out_of_memory_is_no_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def failing(*given: object, **named: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(timm, "create_model", failing)
    with pytest.raises(torch.OutOfMemoryError):
        state("plain_cnn", 0)


@pytest.mark.parametrize(
    ("architecture", "size"), [("test_vit", 160), ("plain_cnn(depth=1)", 32), ("resnet50", 224)]
)
def test_an_architecture_knows_its_own_image_size(architecture: str, size: int) -> None:
    assert models.own_image_size(architecture) == size


@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        ("test_vit", 64),
        ("test_vit(patch_size=4)", 8),
        ("test_resnet", 40),
        ("vit_tiny_patch16_224(depth=1)", 32),
        ("vit_tiny_patch16_224(depth=1, img_size=48)", 48),
    ],
)
def test_a_model_takes_images_of_the_size_it_was_built_for(architecture: str, size: int) -> None:
    model = models.build(architecture, channels=2, classes=7, image_size=size, seed=0).eval()
    assert model(torch.zeros(3, 2, size, size)).shape == (3, 7)


def test_arguments_reach_the_model() -> None:
    model = models.build(
        "plain_cnn(widths=[4, 6], depth=1)", channels=1, classes=3, image_size=16, seed=0
    )
    shapes = [tuple(weight.shape) for weight in model.parameters() if weight.ndim == 4]
    assert shapes == [(4, 1, 3, 3), (6, 4, 3, 3)]


def test_no_pretrained_weights_are_ever_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    asked: list[object] = []
    create: Callable[..., torch.nn.Module] = timm.create_model

    def recording(*given: object, **named: object) -> torch.nn.Module:
        asked.append(named["pretrained"])
        return create(*given, **named)

    monkeypatch.setattr(timm, "create_model", recording)
    state("test_resnet", 0)
    assert asked == [False]
