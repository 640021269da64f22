"""Terminals of 60 columns: nothing is cut off, and names are broken between their words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.execution.jobs import Started
from benchmark.execution.status import StatusWriter
from benchmark.results.store import open_store
from tests.commands.test_watching import JOB, TRIAL, write_manifest
from tests.conftest import Command

BOARD = str(Path(__file__).parents[2] / "leaderboard" / "digits")


@pytest.fixture
def narrow(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run initbench on 60 columns; return its lines, none of them longer or cut off."""
    monkeypatch.setenv("COLUMNS", "60")

    def run(*arguments: object) -> list[str]:
        code, out, err = command(*arguments)
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 60
        assert "…" not in out
        return [line.rstrip() for line in out.splitlines()]

    return run


def test_cells_of_a_comparison(narrow: Callable[..., list[str]]) -> None:
    lines = narrow("compare", "orthogonal+pa", "timm", "--records", BOARD)
    for start in ("plain_cnn   ", "test_resnet  ", "test_vit(  ", "depth=4,  "):
        assert any(line.startswith(start) for line in lines), start


def test_planned_seeds(narrow: Callable[..., list[str]]) -> None:
    lines = narrow("plan", "--seeds", "--records", BOARD, "--pair", "orthogonal+pa", "timm")
    for start in ("plain_cnn   ", "test_resnet   ", "seeds sds (d_z)"):
        assert any(line.startswith(start) for line in lines), start
    assert any(line.endswith("seeds cautious") for line in lines)


def test_layers_of_a_network(narrow: Callable[..., list[str]]) -> None:
    lines = narrow("inspect", "plain_cnn", "--image-size", 8)
    assert any(line.startswith("head ") for line in lines)


def test_what_runs(narrow: Callable[..., list[str]], tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run")) as store:
        write_manifest(store)
        status = StatusWriter(store)
        status.show(Started(JOB, "10.0.0.7", "NVIDIA H100 80GB HBM3"))
        status._write("running")
        lines = narrow("status", "run")
    assert any(TRIAL.id in line for line in lines)
    assert any(line.endswith("attempt 2") or "attempt 2 " in line for line in lines)
