"""docs/methods.md is what the methods declare, and says all of it."""

from __future__ import annotations

from pathlib import Path

from benchmark import documentation, plugins
from benchmark.documentation import marks, spelled

ROOT = Path(__file__).parents[1]


def test_the_committed_page_is_what_the_methods_declare() -> None:
    committed = (ROOT / documentation.TARGET).read_text(encoding="utf-8")
    assert committed == documentation.document(), "run: python -m benchmark.documentation"


def test_every_method_has_a_section_with_its_source() -> None:
    text = documentation.document()
    for registry in (plugins.initializers, plugins.rewirings):
        for method in [each for each in registry.all() if not each.plugin_hash]:
            _, _, section = text.partition(f"### `{method.name}`\n")
            section = section.partition("\n##")[0]
            assert method.source, method.name
            assert method.source in section, method.name
            for mark in marks(method):
                assert mark in section


def test_marks_are_what_is_declared() -> None:
    def method(**declared: object) -> plugins.Initializer:
        return plugins.Initializer("m", lambda *_: None, "s", **declared)  # type: ignore[arg-type]

    assert marks(method()) == []
    every = {
        "needs_data": "data",
        "needs_labels": "labels",
        "deterministic": "deterministic",
        "changes_architecture": "architecture",
        "changes_learning_rate": "learning rate",
    }
    for field, mark in every.items():
        assert marks(method(**{field: True})) == [mark]
    assert marks(plugins.rewirings.get("none")) == ["deterministic"]


def test_a_spelled_name_is_read_back_as_the_method_itself() -> None:
    for method in plugins.rewirings.all():
        assert plugins.rewirings.canonical(spelled(method)) == method.name
