"""Architectures, data sets and recipes of plugins: found, built, and part of a trial's content."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm

from benchmark import models, plugins, recipes
from benchmark.config import load_config
from benchmark.errors import UsageError
from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.plugins import find_plugin, install_plugin, installed_plugins, load_plugins
from tests.conftest import make_cell, make_cohort

NETWORK = """
from torch import nn
from benchmark import architecture

@architecture("{name}", summary="a line", paper="arXiv:1", image_size=8)
def network(num_classes, in_chans, img_size=8, width: int = 4):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_chans * img_size**2, {factor} * width),
                         nn.ReLU(), nn.Linear({factor} * width, num_classes))
"""

TIMM_NETWORK = """
from torch import nn
from timm.models import register_model

@register_model
def {name}(pretrained=False, num_classes=10, in_chans=3, **kwargs):
    \"\"\"A network in timm's manner.\"\"\"
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_chans, num_classes))
"""

RECIPE = """
from benchmark import named_recipe

@named_recipe("{name}", summary="quick", source="here")
def quick():
    return {values}
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Load a plugin of this text; registries, timm's too, are put back behind the test."""
    for registry in plugins.REGISTRIES:
        registry.all()
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))
    modules = set(sys.modules)

    def write(text: str, name: str = "kinds.py") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        load_plugins([str(path)])
        return str(path)

    yield write
    for name in set(sys.modules) - modules:
        if name.startswith("initbench_plugin_"):
            models.forget(name)
            del sys.modules[name]


def test_an_architecture_of_a_plugin_is_built_like_those_of_timm(load: Callable[..., str]) -> None:
    load(NETWORK.format(name="of_plugin", factor=1))
    assert "of_plugin" in models.names("of_*")
    assert models.expand("of_plugin(width=6)") == ["of_plugin(width=6)"]
    assert models.own_image_size("of_plugin") == 8
    model = models.build("of_plugin(width=6)", channels=1, classes=3, image_size=4, seed=0)
    assert [tuple(p.shape) for p in model.parameters()] == [(6, 16), (6,), (3, 6), (3,)]
    with pytest.raises(UsageError, match="did you mean 'of_plugin'"):
        models.expand("of_plugn")


def test_what_a_plugin_registers_with_timm_is_an_architecture_too(
    load: Callable[..., str],
) -> None:
    load(TIMM_NETWORK.format(name="in_timms_manner"))
    method = plugins.architectures.get("in_timms_manner")
    assert method.summary == "A network in timm's manner."
    assert method.plugin_hash == installed_plugins()[-1].hash
    assert models.expand("in_timms*") == ["in_timms_manner"]


def test_a_plugin_may_not_take_the_name_of_an_architecture_of_timm(
    load: Callable[..., str],
) -> None:
    before = timm.model_entrypoint("resnet18")
    with pytest.raises(UsageError, match=r"two architectures are called 'resnet18'.*kinds\.py"):
        load(TIMM_NETWORK.format(name="resnet18"))
    assert timm.model_entrypoint("resnet18") is before
    load(NETWORK.format(name="resnet18", factor=1), "other.py")
    with pytest.raises(UsageError, match=r"two architectures are called 'resnet18'.*other\.py"):
        models.expand("resnet18")


def test_an_edited_architecture_takes_the_place_of_the_old_one(load: Callable[..., str]) -> None:
    def width() -> int:
        return len(next(models.build(text, **size).parameters()))

    text, size = "edited_net", {"channels": 1, "classes": 2, "image_size": 8, "seed": 0}
    load(NETWORK.format(name=text, factor=1))
    assert width() == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(NETWORK.format(name=text, factor=2))
        assert width() == 8


def test_a_worker_without_the_file_trains_an_architecture_of_a_plugin(
    load: Callable[..., str],
) -> None:
    """As a worker elsewhere does: from the source alone; the record carries its hash."""
    path = load(NETWORK.format(name="travelling_net", factor=1))
    plugin = find_plugin(path)
    Path(path).unlink()
    plugins._uninstall(plugin.module)
    cohort = make_cohort(("timm", 0), cell=make_cell("travelling_net", epochs=1))
    (record,) = Worker(Settings(device="cpu", plugins=(plugin,))).train(cohort).records
    assert record.status in ("ok", "diverged"), record.message
    assert record.content["plugins"] == {"architecture": plugin.hash}


def test_the_content_of_a_cell_follows_the_plugins_source_and_that_of_others_stays(
    load: Callable[..., str],
) -> None:
    built_in = make_cell("plain_cnn").content
    assert "plugins" not in built_in
    load(NETWORK.format(name="hashed_net", factor=1))
    first = make_cell("hashed_net(width=8)").content
    load(NETWORK.format(name="hashed_net", factor=2))
    assert make_cell("hashed_net(width=8)").content != first
    assert make_cell("plain_cnn").content == built_in


def test_two_functions_of_one_file_may_not_share_a_name(load: Callable[..., str]) -> None:
    text = RECIPE.format(name="doubled", values="{}")
    with pytest.raises(UsageError, match="two methods call themselves recipe 'doubled'"):
        load(text + text.replace("def quick", "def quicker"))


def test_a_plugin_that_exits_is_an_error_and_not_an_exit(load: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="SystemExit"):
        load("raise SystemExit('away')")


CONFIG = """\
name: named
grid: {datasets: [digits], architectures: [plain_cnn], initializers: [timm, orthogonal], seeds: 1}
plugins: [kinds.py]
recipes: [of_plugin_recipe, digits_quick]
"""


def test_a_config_names_recipes_and_its_snapshot_does_without_the_plugin(
    load: Callable[..., str], tmp_path: Path
) -> None:
    load(RECIPE.format(name="of_plugin_recipe", values="{'epochs': 3, 'batch_size': 7}"))
    path = tmp_path / "named.yaml"
    path.write_text(CONFIG)
    config = load_config(path)
    assert list(config.named_recipes) == ["of_plugin_recipe", "digits_quick"]
    own = config.named_recipes["of_plugin_recipe"]
    assert (own.epochs, own.batch_size) == (3, 7)
    assert config.named_recipes["digits_quick"] == recipes.look_up("digits_quick")
    (tmp_path / "snapshot.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "snapshot.yaml").named_recipes == config.named_recipes
    overridden = load_config(path, ["recipe.epochs=2"])
    assert {recipe.epochs for recipe in overridden.named_recipes.values()} == {2}
    assert overridden.named_recipes["of_plugin_recipe"].batch_size == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{'epoch': 3}", r"epoch: .*epochs"),
        ("{'epochs': 0}", "epochs"),
        ("[3]", "returns list; return a dictionary"),
    ],
)
def test_a_recipe_that_is_none_is_refused_where_it_is_named(
    load: Callable[..., str], tmp_path: Path, values: str, message: str
) -> None:
    load(RECIPE.format(name="of_plugin_recipe", values=values))
    path = tmp_path / "named.yaml"
    path.write_text(CONFIG)
    with pytest.raises(UsageError, match=rf"named.yaml:4: recipes\[0\]: .*{message}"):
        load_config(path)


def test_an_unknown_recipe_is_refused_with_the_nearest(
    load: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "named.yaml"
    path.write_text(CONFIG.replace("of_plugin_recipe", "digit_quick").replace("plugins", "#"))
    with pytest.raises(UsageError, match=r"recipes\[0\]: unknown recipe 'digit_quick'.*digits_qu"):
        load_config(path)


def test_an_edited_plugin_is_read_anew_by_its_path(load: Callable[..., str]) -> None:
    path = load(RECIPE.format(name="edited_recipe", values="{'epochs': 3}"))
    before = plugins.recipes.get("edited_recipe").plugin_hash
    Path(path).write_text(RECIPE.format(name="edited_recipe", values="{'epochs': 4}"))
    install_plugin(find_plugin(path))
    assert recipes.look_up("edited_recipe").epochs == 4
    assert plugins.recipes.get("edited_recipe").plugin_hash != before
