"""`initbench new-plugin` and `initbench check` as their users meet them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark import plugins, templates
from benchmark.commands import checking
from benchmark.testing import checks_of, find, processes
from tests.conftest import Command

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put registries and installed plugins back behind every test."""
    for registry in plugins.REGISTRIES:
        registry.all()
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))


def failures(files: list[Path]) -> dict[str, str]:
    """Return what fails of the checks of plugin files, but for timm's networks."""
    found = [each for file in files for each in find(str(file))]
    questions = [processes.question_of(registry, text) for registry, text in found]
    processes.start([question for question in questions if question])
    return {
        str(check): verdict.found
        for registry, text in found
        for check in checks_of(registry, text)
        if not check.group and (verdict := check.verdict()).status == "failed"
    }


def test_every_template_passes_the_check_as_it_is(command: Command, tmp_path: Path) -> None:
    for kind in templates.KINDS:
        code, out, _ = command("new-plugin", f"my_{kind}", "--kind", kind)
        assert code == 0
        assert f"initbench check my_{kind}.py" in out
    files = sorted(tmp_path.glob("my_*.py"))
    assert len(files) == len(templates.KINDS) == 7
    assert failures(files) == {}


def test_every_example_passes_the_check() -> None:
    assert [path.stem for path in EXAMPLES] == ["sorted_rows", "spectral_unit", "unit_output"]
    assert failures(EXAMPLES) == {}


def test_new_plugin_never_overwrites(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    code, _, err = command("new-plugin", "mine")
    assert code == 2
    assert "mine.py is there already" in err
    assert (tmp_path / "mine.py").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("orthogonal", "'orthogonal' is taken: initializer of"),
        ("shuffle", "'shuffle' is taken: rewiring of"),
        ("two words", "cannot name a function"),
        ("class", "cannot name a function"),
        ("../mine", "cannot name a function"),
    ],
)
def test_new_plugin_refuses_a_name_that_cannot_be(
    command: Command, tmp_path: Path, name: str, words: str
) -> None:
    code, _, err = command("new-plugin", name)
    assert code == 2
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_check_prints_expected_and_found_and_fails_with_exit_code_1(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "_one_thread", lambda: None)
    (tmp_path / "doubling.py").write_text(
        "from benchmark import rewiring\n\n"
        "@rewiring('doubling', summary='doubles', permutes=True)\n"
        "def doubling(matrix, rng):\n"
        "    '''Double.'''\n"
        "    matrix *= 2\n"
    )
    code, out, err = command("check", "doubling.py")
    assert (code, err) == (1, "")
    text = " ".join(out.split())
    assert "failed values expected: the multiset stays if it permutes; finite" in text
    assert "though it declares permutes=True" in text
    assert "ok description" in text
    assert max(map(len, out.splitlines())) <= 80


def test_check_of_a_recipe_by_name_is_ok(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_one_thread", lambda: None)
    code, out, _ = command("check", "digits_quick")
    assert code == 0
    assert "2 ok, 0 failed" in out


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("ortogonal", ["unknown method 'ortogonal'", "'orthogonal'"]),
        ("zzzz", ["unknown method 'zzzz'; 'initbench list initializers' shows names; a file is"]),
        ("absent.py", ["cannot read the plugin 'absent.py'"]),
        ("empty.py", ["empty.py enters no method", "@initializer"]),
        ("broken.py", ["broken.py failed", "line 1", "import no_such_package"]),
        ("orthogonal(gian=2)", ["unknown parameter of orthogonal 'gian'", "'gain'"]),
    ],
)
def test_check_of_what_is_no_method_says_so(
    command: Command, tmp_path: Path, target: str, words: list[str]
) -> None:
    (tmp_path / "empty.py").write_text("VALUE = 1\n")
    (tmp_path / "broken.py").write_text("import no_such_package\n")
    code, _, err = command("check", target)
    assert code == 2
    assert all(word in err for word in words), err
    assert "site-packages" not in err
