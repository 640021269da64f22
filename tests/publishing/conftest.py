"""Boards that several tests read and none changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.publishing import Board, publish
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import Findings, find
from tests.publishing.synthetic import write_results

NASTY = (
    "<img src=x onerror=alert(1)>",
    "a|b`c*d*",
    "</script><script>alert(2)</script>",
    "[x](javascript:alert(3))",
    "https://evil.example/x",
    "one\ntwo\r# three",
    "{{ 7 * 7 }}{% x %}",
)
NASTY_CELLS = tuple(
    (f"data {name}", f"net {name}", f"recipe {name}") for name in (NASTY[0], NASTY[1], NASTY[5])
)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine treatments, four cells, five seeds."""
    return write_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def findings(results: Path) -> Findings:
    return find(gather([str(results)]))


@pytest.fixture(scope="session")
def board(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Board:
    """The board of `results`."""
    return publish([str(results)], str(tmp_path_factory.mktemp("board")))


@pytest.fixture(scope="session")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board on which every name means harm."""
    treatments = ["timm", "timm+pa", *NASTY]
    results = write_results(
        tmp_path_factory.mktemp("nasty"),
        treatments,
        NASTY_CELLS,
        range(3),
        statuses={NASTY[1]: "error"},
        message=f"ValueError: {NASTY[0]} {NASTY[2]} | {NASTY[3]}",
        manifest={
            "name": f"board {NASTY[2]} {NASTY[0]}",
            "contrasts": [{"name": NASTY[0], "a": NASTY[0], "b": NASTY[2]}],
        },
    )
    out = tmp_path_factory.mktemp("nasty-board")
    publish([str(results)], str(out))
    return out
