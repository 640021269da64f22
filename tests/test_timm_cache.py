"""What is kept of timm: as true as timm itself, and harmless where it is missing or broken."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
from timm.optim import list_optimizers

from benchmark import models, recipe, timm_cache
from benchmark.errors import UsageError
from benchmark.plugins import architecture, architectures
from benchmark.recipe import Recipe, check_names

WriteConfig = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep things in a folder of the test's own, as a process that has not imported timm."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(timm_cache, "_timm_is_loaded", lambda: False)
    return tmp_path / "cache"


@pytest.fixture
def kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what timm holds, and let nobody ask it again."""
    timm_cache.architectures()

    def refuse() -> None:
        raise AssertionError("timm is asked again")

    monkeypatch.setattr(timm_cache, "_ask_timm", refuse)
    return folder


def test_what_is_kept_is_what_timm_says(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, optimizers = models.names(), timm_cache.optimizers()
    assert {"resnet50", "plain_cnn"} <= set(names)
    assert list(optimizers) == [str(name) for name in list_optimizers()]
    patterns = ("test_*", "resnet1??", "no_such_*", "*[0-9]_patch*")
    found = {pattern: models.names(pattern) for pattern in patterns}
    monkeypatch.setattr(timm_cache, "_timm_is_loaded", lambda: True)
    assert names == models.names() == timm.list_models()
    assert found == {pattern: timm.list_models(pattern) for pattern in patterns}


def test_a_wrong_name_is_still_answered_by_timm(kept: Path) -> None:
    with pytest.raises(UsageError, match="did you mean .*'resnet50'"):
        models.expand("resnet5O")


def test_architectures_of_plugins_are_added_and_clashes_found(kept: Path) -> None:
    try:
        architecture("plain_cmm", summary="a test's", paper="none")(lambda **given: None)
        assert models.names("plain_c*") == ["plain_cmm", "plain_cnn"]
        architecture("resnet50", summary="a test's", paper="none")(lambda **given: None)
        with pytest.raises(UsageError, match="two architectures are called 'resnet50'"):
            models.names()
    finally:
        architectures.forget(__name__)
        models.forget(__name__)


def test_a_recipe_is_tried_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Recipe] = []
    original = recipe._ask_timm
    monkeypatch.setattr(recipe, "_ask_timm", lambda one: [asked.append(one), *original(one)][1:])
    good, bad = Recipe(optimizer="adamw"), Recipe(optimizer="adamw", optimizer_args={"betas": [2]})
    assert check_names(good) == check_names(good) == []
    assert check_names(bad) == check_names(bad) != []
    faster = good.model_copy(update={"learning_rate": 0.1})
    assert check_names(faster) == []
    assert asked == [good, bad, bad, faster]


def test_a_recipe_with_an_optimizer_of_a_plugin_is_not_kept(kept: Path) -> None:
    timm_cache.accept("key", "an_optimizer_of_a_plugin")
    assert not timm_cache.accepts("key")
    timm_cache.accept("key", "adamw")
    assert timm_cache.accepts("key")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"architectures": [1]}', "null", "\x00"])
def test_a_broken_file_is_written_anew(folder: Path, content: str) -> None:
    whole = timm_cache.architectures()
    (file,) = (folder / "initbench").iterdir()
    text = file.read_text()
    file.write_text(content)
    assert timm_cache.architectures() == whole
    assert file.read_text() == text
    assert list((folder / "initbench").iterdir()) == [file]


def test_a_folder_that_cannot_be_written_is_done_without(folder: Path) -> None:
    folder.write_text("no folder")
    assert "resnet50" in (timm_cache.architectures() or ())
    assert check_names(Recipe()) == []


def test_a_full_disk_is_left_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "resnet50" in (timm_cache.architectures() or ())
    assert list((folder / "initbench").iterdir()) == []


def test_another_version_of_timm_is_asked_anew(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timm_cache._key.cache_clear()
    monkeypatch.setattr(timm_cache, "version", lambda name: "99")
    try:
        with pytest.raises(AssertionError, match="asked again"):
            models.names()
    finally:
        timm_cache._key.cache_clear()


def test_a_plan_imports_neither_torch_nor_timm(kept: Path, write_config: WriteConfig) -> None:
    config = write_config()
    assert check_names(Recipe(epochs=2, optimizer="adamw", learning_rate=0.01, batch_size=64)) == []
    program = (
        "import sys\n"
        "from benchmark import cli\n"
        f"sys.argv = ['initbench', 'plan', {str(config)!r}, '--no-measure']\n"
        "try:\n    cli.main()\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'torch', 'timm', 'ray'} & set(sys.modules)))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(kept)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
