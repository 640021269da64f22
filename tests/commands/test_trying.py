"""`initbench try`: checked, trained on three small networks, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark import plugins
from benchmark.commands import trying
from benchmark.results.store import read_store
from tests.conftest import Command

SORTED = Path(__file__).parents[2] / "examples" / "sorted_rows.py"


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put registries and installed plugins back behind every test."""
    for registry in plugins.REGISTRIES:
        registry.all()
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tiny network with three seeds; the checks have their own tests."""
    monkeypatch.setattr(trying, "ARCHITECTURES", ("plain_cnn(depth=1, widths=[4, 8])",))
    monkeypatch.setattr(trying, "SEEDS", 3)
    monkeypatch.setattr(trying, "examine", lambda found, console: 0)


def test_the_grid_has_three_networks_and_the_plugin_beside_what_it_is_compared_with() -> None:
    config = trying.grid("orthogonal(gain=2.0)", ["orthogonal(gain=2.0)"], "timm", {})
    assert config.name == "try-orthogonal"
    assert [str(each) for each in config.treatments] == ["timm", "orthogonal(gain=2.0)"]
    assert len(config.grid.architectures) == 3
    assert len(config.seeds) == trying.SEEDS
    assert list(config.named_recipes) == [trying.RECIPE]


@pytest.mark.usefixtures("small")
def test_a_rewiring_is_tried_on_the_initializer_it_is_compared_with_and_goes_on(
    command: Command,
) -> None:
    arguments = ["try", SORTED, "--against", "orthogonal", "--executor", "inline"]
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert "orthogonal+sorted_rows" in out
    assert "1 cell x 2 treatments, 6 trials, 0 of them done" in out
    assert "A first look" in out
    records = read_store("results/try-sorted_rows").records
    treatments = {record.treatment for record in records.values()}
    assert treatments == {"orthogonal", "orthogonal+sorted_rows"}
    code, out, _ = command(*arguments)
    assert code == 0
    assert "6 trials, 6 of them done" in out


def test_nothing_is_trained_of_a_plugin_that_fails_its_check(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "examine", lambda found, console: 1)
    code, out, _ = command("try", SORTED)
    assert code == 1
    assert "Nothing was trained" in out
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("target", "against", "words"),
    [
        ("digits", "timm", "no initializer or rewiring to compare with timm"),
        ("timm", "timm", "no initializer or rewiring to compare with timm"),
        ("timm", "tim", "unknown initializer 'tim'"),
        ("nowhere.py", "timm", "cannot read the plugin"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    command: Command, target: str, against: str, words: str
) -> None:
    code, _, err = command("try", target, "--against", against)
    assert code == 2
    assert words in err
