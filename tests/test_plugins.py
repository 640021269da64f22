"""Registries and plugins: one name one method, errors that show the plugin, hashed source."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchmark
from benchmark import plugins
from benchmark.errors import UsageError
from benchmark.plugins import (
    find_plugin,
    install_plugin,
    installed_plugins,
    load_plugins,
)

REGISTRIES = plugins.REGISTRIES


def source(name: str, value: float = 0.5, kind: str = "initializer") -> str:
    return f"""
from benchmark import {kind}

@{kind}("{name}", summary="a constant", paper="a note")
def method(weight, layer, generator, value: float = {value}):
    weight.fill_(value)
"""


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put registries, installed plugins and modules back behind every test."""
    for registry in REGISTRIES:
        registry.all()
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if "plugin" in name:
            del sys.modules[name]


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[importlib.metadata.EntryPoint]:
    """The entry points that installed packages offer: none but what a test appends."""
    offered: list[importlib.metadata.EntryPoint] = []

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [entry for entry in offered if entry.group == group]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return offered


def names(registry: plugins.Registry) -> list[str]:
    return [method.name for method in registry.all()]


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_built_in_methods_are_there_in_order_and_described() -> None:
    assert {"kaiming_normal", "orthogonal", "timm"} <= set(names(plugins.initializers))
    assert {"none", "pa", "shuffle"} <= set(names(plugins.rewirings))
    data_sets = {"cifar10", "cifar100", "digits", "fashion_mnist", "image_folder", "imagenet"}
    assert data_sets <= set(names(plugins.datasets))
    for registry in REGISTRIES:
        assert names(registry) == sorted(names(registry))
        for method in registry.all():
            assert method.summary
            assert "\n" not in method.summary


def test_every_built_in_method_is_the_only_one_of_its_file_and_has_no_plugin_hash() -> None:
    for registry in (plugins.initializers, plugins.rewirings):
        built_in = [m for m in registry.all() if m.function.__module__.startswith("benchmark.")]
        files = [method.function.__module__ for method in built_in]
        assert len(set(files)) == len(files)
        assert {method.plugin_hash for method in built_in} == {None}


@pytest.mark.parametrize(
    ("registry", "name", "message"),
    [
        (plugins.initializers, "kaming_normal", "unknown initializer .*'kaiming_normal'"),
        (plugins.rewirings, "Shuffle", "unknown rewiring 'Shuffle'; did you mean 'shuffle'"),
        (plugins.datasets, "cifar_10", "unknown data set .*'cifar10'.*initbench list datasets"),
        (plugins.rewirings, "qqqq", "known are: .*none, pa, .*shuffle"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    registry: plugins.Registry, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        registry.get(name)


def test_resolve_gives_the_method_and_the_parameters_that_differ_from_the_default() -> None:
    method, arguments = plugins.initializers.resolve("kaiming_normal(mode=fan_out, gain=1)")
    assert method.name == "kaiming_normal"
    assert arguments == {"mode": "fan_out", "gain": 1.0}
    assert plugins.rewirings.resolve("pa(offset=1)")[1] == {}
    assert plugins.rewirings.canonical(" pa( 0.5 ) ") == "pa(offset=0.5)"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"level": "tensor"}, ["gain"]),
        ({"level": "model"}, ["generator", "gain"]),
        ({"level": "model", "needs_data": True}, ["gain"]),
    ],
)
def test_parameters_begin_behind_what_the_runner_passes(
    declared: dict[str, object], expected: list[str]
) -> None:
    def method(first: object, second: object, generator: object, gain: float = 1.0) -> None: ...

    entered = plugins.Initializer("method", method, "summary", **declared)  # type: ignore[arg-type]
    assert list(entered.parameters) == expected


WRONGLY_DECLARED = {
    'need_data=True, level="model"': "unknown key 'need_data'; did you mean 'needs_data'",
    'level="modl"': "level: 'modl' where 'tensor' or 'model' belongs; did you mean 'model'",
    "needs_data=True": 'needs_data: a tensor-level method .*; write level="model"',
    'needs_data="shape"': "needs_data: a tensor-level method",
    "changes_architecture=True": "changes_architecture: a tensor-level method",
    'touches=("biases",)': "touches: a tensor-level method",
    'level="model", needs_data="yes"': "needs_data: 'yes' where true or false or 'shape' belongs",
    'level="model", needs_labels=True': "needs_labels: labels come with the data",
    'level="model", touches=("bias",)': r"touches\[0\]: 'bias' where .*; did you mean 'biases'",
    'level="model", touches="biases"': "touches: 'biases' where a list",
    "deterministic=1": "deterministic: 1 where true or false belongs",
}


@pytest.mark.parametrize(("declared", "message"), WRONGLY_DECLARED.items())
def test_what_a_plugin_declares_wrongly_is_refused_with_its_file(
    declared: str, message: str, tmp_path: Path
) -> None:
    text = source("misdeclared").replace("summary=", f"{declared}, summary=")
    path = write(tmp_path / "mine.py", text)
    with pytest.raises(UsageError, match=rf"mine.py, function method: initializer .*{message}"):
        load_plugins([path])
    assert "misdeclared" not in names(plugins.initializers)


@pytest.mark.parametrize(
    ("declared", "message"),
    {
        "permute=True": "unknown key 'permute'; did you mean 'permutes'",
        'permutes="yes"': "permutes: 'yes' where true or false belongs",
    }.items(),
)
def test_a_rewirings_and_a_data_sets_words_are_checked_alike(
    declared: str, message: str, tmp_path: Path
) -> None:
    text = source("misdeclared", kind="rewiring").replace("summary=", f"{declared}, summary=")
    with pytest.raises(UsageError, match=rf"mine.py, function method: rewiring .*{message}"):
        load_plugins([write(tmp_path / "mine.py", text)])
    with pytest.raises(UsageError, match="data set 'mine' .*: clases: unknown key .*'classes'"):
        benchmark.dataset("mine", summary="a typing error", source="x", clases=2)(lambda folder: 0)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a(b)", "9lives", "a,b"])
def test_a_name_that_a_treatment_could_not_spell_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a plain name"):
        benchmark.rewiring(name, summary="badly named")(lambda matrix, rng: None)


def test_a_plugin_file_enters_its_methods_by_the_decorators(
    tmp_path: Path, entries: list[importlib.metadata.EntryPoint]
) -> None:
    text = """
from benchmark import dataset, initializer, rewiring

@initializer("plugin_initializer", summary="one", paper="arXiv:1", deterministic=True)
def first(weight, layer, generator, value: float = 1.0): ...

@rewiring("plugin_rewiring", summary="two", permutes=True)
def second(matrix, rng): ...

@dataset("plugin_dataset", summary="three", source="a folder", classes=2)
def third(data_dir): ...
"""
    load_plugins([write(tmp_path / "mine.py", text)])
    initializer = plugins.initializers.get("plugin_initializer")
    assert (initializer.summary, initializer.source) == ("one", "arXiv:1")
    assert initializer.deterministic
    assert not initializer.needs_data
    assert plugins.rewirings.get("plugin_rewiring").permutes
    assert plugins.datasets.get("plugin_dataset").classes == 2
    plugin = installed_plugins()[-1]
    assert Path(plugin.path).name == "mine.py"
    assert initializer.plugin_hash == plugin.hash


def test_the_hash_follows_the_source_and_nothing_else(tmp_path: Path) -> None:
    one = find_plugin(write(tmp_path / "one.py", source("some", 0.5)))
    copy = find_plugin(write(tmp_path / "elsewhere" / "renamed.py", source("some", 0.5)))
    other = find_plugin(write(tmp_path / "one.py", source("some", 0.25)))
    assert one.hash == copy.hash
    assert one.hash != other.hash


def test_finding_a_plugin_does_not_run_it(tmp_path: Path) -> None:
    find_plugin(write(tmp_path / "explosive.py", "raise SystemExit('ran')"))


def test_an_edited_plugin_is_installed_anew_and_its_old_names_are_gone(tmp_path: Path) -> None:
    path = write(tmp_path / "edited.py", source("old_name", 0.5))
    install_plugin(find_plugin(path))
    before = plugins.initializers.get("old_name").plugin_hash
    install_plugin(find_plugin(write(tmp_path / "edited.py", source("new_name", 0.5))))
    assert plugins.initializers.get("new_name").plugin_hash != before
    with pytest.raises(UsageError, match="unknown initializer 'old_name'"):
        plugins.initializers.get("old_name")


def test_a_plugin_that_has_not_changed_is_not_run_again(tmp_path: Path) -> None:
    path = write(tmp_path / "once.py", source("once"))
    install_plugin(find_plugin(path))
    function = plugins.initializers.get("once").function
    install_plugin(find_plugin(path))
    assert plugins.initializers.get("once").function is function


def test_a_plugin_travels_without_its_file(tmp_path: Path) -> None:
    """A worker on another machine gets the source, its name and its hash, and no path."""
    path = write(tmp_path / "travels.py", source("travels"))
    plugin = find_plugin(path)
    Path(path).unlink()
    install_plugin(dataclasses.replace(plugin, path="/not/there/travels.py"))
    method = plugins.initializers.get("travels")
    assert method.plugin_hash == plugin.hash
    assert sys.modules[method.function.__module__].__file__ == "/not/there/travels.py"


def test_two_plugin_files_with_one_method_name_are_refused_naming_both(tmp_path: Path) -> None:
    first = write(tmp_path / "first.py", source("twice"))
    second = write(tmp_path / "second.py", source("twice", 1.0))
    with pytest.raises(UsageError, match="two methods call themselves initializer 'twice'") as info:
        load_plugins([first, second])
    assert first in str(info.value)
    assert second in str(info.value)


def test_two_plugin_files_of_one_file_name_are_two_plugins(tmp_path: Path) -> None:
    first = write(tmp_path / "a" / "mine.py", source("from_a", 0.5))
    second = write(tmp_path / "b" / "mine.py", source("from_b", 0.25))
    load_plugins([first, second])
    from_a, from_b = (plugins.initializers.get(name) for name in ("from_a", "from_b"))
    assert from_a.plugin_hash == find_plugin(first).hash
    assert from_b.plugin_hash == find_plugin(second).hash
    with pytest.raises(UsageError, match="two methods call themselves initializer 'from_a'"):
        install_plugin(find_plugin(write(tmp_path / "c" / "mine.py", source("from_a"))))


def test_a_file_named_in_two_ways_is_one_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "mine.py", source("named_twice"))
    monkeypatch.chdir(tmp_path)
    load_plugins([path, "mine.py", "./mine.py"])
    assert find_plugin("mine.py").module == find_plugin(path).module
    assert plugins.initializers.get("named_twice").plugin_hash == find_plugin(path).hash


def test_a_plugin_may_not_take_the_name_of_a_built_in_method(tmp_path: Path) -> None:
    path = write(tmp_path / "usurper.py", source("orthogonal"))
    with pytest.raises(UsageError, match="initializer 'orthogonal'"):
        load_plugins([path])
    assert plugins.initializers.get("orthogonal").plugin_hash is None


def test_a_usurper_installed_before_the_first_look_is_refused_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = plugins.rewirings
    for name in [name for name in sys.modules if name.startswith("benchmark.rewirings.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(registry, "_methods", {})
    monkeypatch.setattr(registry, "_complete", False)
    install_plugin(find_plugin(write(tmp_path / "early.py", source("shuffle", kind="rewiring"))))
    for _ in range(2):
        with pytest.raises(UsageError, match="two methods call themselves rewiring 'shuffle'"):
            registry.get("none")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("import no_such_package\n", ["no_such_package", "line 1", "import no_such_package"]),
        (
            "def inner():\n    return 1 / 0\n\nvalue = inner()\n",
            ["ZeroDivisionError", "line 4", "value = inner()", "line 2", "return 1 / 0"],
        ),
        ("def broken(:\n", ["SyntaxError", "line 1"]),
    ],
    ids=["import", "exception", "syntax"],
)
def test_a_plugin_that_fails_shows_its_own_lines(
    tmp_path: Path, text: str, shown: list[str]
) -> None:
    path = write(tmp_path / "failing.py", text)
    with pytest.raises(UsageError, match="failing.py failed") as info:
        load_plugins([path])
    message = str(info.value)
    assert all(part in message for part in [path, *shown])
    if "SyntaxError" not in message:
        assert "plugins.py" not in message


def test_a_plugin_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    before = [names(registry) for registry in REGISTRIES]
    path = write(tmp_path / "halfway.py", source("halfway") + "\nraise ValueError('half')\n")
    with pytest.raises(UsageError, match="half"):
        load_plugins([path])
    assert [names(registry) for registry in REGISTRIES] == before
    assert path not in [plugin.path for plugin in installed_plugins()]
    assert not [name for name in sys.modules if "halfway" in name]


def test_an_error_in_a_method_shows_the_line_of_the_plugin(tmp_path: Path) -> None:
    """The source line, though the module was never imported from its file."""
    text = source("raises").replace("weight.fill_(value)", "raise RuntimeError('in the method')")
    plugin = find_plugin(write(tmp_path / "raises.py", text))
    Path(plugin.path).unlink()
    install_plugin(plugin)
    with pytest.raises(RuntimeError) as info:
        plugins.initializers.get("raises").function(None, None, None)
    assert "raise RuntimeError('in the method')" in "".join(traceback.format_exception(info.value))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_file.py", "cannot read the plugin 'no_such_file.py': No such file"),
        ("folder/no_such_file", "neither a .py file nor an importable module"),
        ("no_such_module", "neither a .py file nor an importable module"),
        ("no_such_package.module", "neither a .py file nor an importable module"),
        ("..relative", "neither a .py file nor an importable module"),
        ("", "neither a .py file nor an importable module"),
        ("json", "'json' is a package.*json.my_methods"),
        ("math", "cannot read|neither"),
    ],
)
def test_what_is_no_plugin_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_plugin(name)


def test_a_folder_or_a_file_of_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UsageError, match="cannot read the plugin"):
        find_plugin(str(tmp_path / "folder.py"))
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        find_plugin(str(tmp_path / "bytes.py"))


def test_an_importable_module_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "package_of_plugin_test" / "__init__.py", "")
    write(tmp_path / "package_of_plugin_test" / "helper.py", "VALUE = 0.25\n")
    text = "from .helper import VALUE\n" + source("from_module")
    path = write(tmp_path / "package_of_plugin_test" / "methods.py", text)
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plugins(["package_of_plugin_test.methods"])
    method = plugins.initializers.get("from_module")
    assert method.function.__module__ == "package_of_plugin_test.methods"
    assert method.plugin_hash == find_plugin(path).hash


def test_entry_points_of_installed_packages_are_loaded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entries: list[importlib.metadata.EntryPoint],
) -> None:
    write(tmp_path / "installed_plugin_of_test.py", source("from_entry_point"))
    monkeypatch.syspath_prepend(str(tmp_path))
    group = plugins.ENTRY_POINTS
    assert group == "initbench.plugins"
    entries += [
        importlib.metadata.EntryPoint("mine", "installed_plugin_of_test:method", group),
        importlib.metadata.EntryPoint("another", "no_such_module", "another.group"),
    ]
    load_plugins()
    assert plugins.initializers.get("from_entry_point").plugin_hash


def test_an_entry_point_that_cannot_be_found_is_refused_by_name(
    entries: list[importlib.metadata.EntryPoint],
) -> None:
    entries.append(importlib.metadata.EntryPoint("mine", "no_such_module", plugins.ENTRY_POINTS))
    with pytest.raises(UsageError, match="no plugin 'no_such_module'"):
        load_plugins()
