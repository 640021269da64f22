"""Treatments: one spelling each, and what of them decides an outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import plugins
from benchmark.errors import UsageError
from benchmark.treatment import Treatment, parse_treatment

PLUGIN = """
from benchmark import initializer

@initializer("of_test_treatment", summary="a constant")
def of_test_treatment(weight, layer, generator, value: float = {value}):
    weight.fill_(value)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "treatment_plugin.py"
    path.write_text(PLUGIN.format(value=0.5))
    plugins.load_plugins([str(path)])
    yield path
    plugins.initializers._methods.pop("of_test_treatment")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("timm", "timm"),
        ("orthogonal+none", "orthogonal"),
        (" orthogonal + pa ", "orthogonal+pa"),
        ("kaiming_normal(mode=fan_in)+pa(offset=1)", "kaiming_normal+pa"),
        ("orthogonal(2)+pa(offset=0.1)", "orthogonal(gain=2.0)+pa(offset=0.1)"),
    ],
)
def test_a_treatment_has_one_spelling(text: str, written: str) -> None:
    assert str(parse_treatment(text)) == written
    assert parse_treatment(written) == parse_treatment(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ortogonal", "unknown initializer 'ortogonal'; did you mean 'orthogonal'"),
        ("orthogonal+paa", "unknown rewiring 'paa'; did you mean 'pa'"),
        ("pa+orthogonal", "unknown initializer 'pa'"),
        ("orthogonal+pa+shuffle", "2 rewirings"),
        ("orthogonal+pa(offst=1)", "did you mean 'offset'"),
        ("orthogonal+", "not a name"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_treatment(text)


def test_content_names_both_methods_and_no_plugin_for_built_in_ones() -> None:
    assert Treatment("orthogonal", "pa").content == {
        "initializer": "orthogonal",
        "rewiring": "pa",
        "plugins": {},
    }


def test_content_changes_with_the_source_of_a_plugin(plugin: Path) -> None:
    treatment = parse_treatment("of_test_treatment+pa")
    before = treatment.content
    assert set(before["plugins"]) == {"of_test_treatment"}  # type: ignore[call-overload]
    plugin.write_text(PLUGIN.format(value=0.25))
    plugins.load_plugins([str(plugin)])
    assert treatment.content != before
