"""The ranking in a terminal of eighty columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.publishing import publish, terminal_ranking
from tests.publishing.synthetic import write_results


@pytest.mark.parametrize("statuses", [{}, {"orthogonal": "diverged"}])
def test_the_ranking_in_a_terminal_fits_eighty_columns(
    tmp_path: Path, statuses: dict[str, str]
) -> None:
    long = "an_initializer_with_a_name(that=0.5, goes=on)+rewiring"
    results = write_results(
        tmp_path / "results", ["timm", "orthogonal", "zeros", long], statuses=statuses
    )
    found = publish([str(results)], str(tmp_path / "board"))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_ranking(found.findings), highlight=False)
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "worse" in text
    assert "[−" in text or "[+" in text
    if statuses:
        assert "unranked: orthogonal, diverged 20/20: fewer than 3 pairs" in " ".join(text.split())


def test_names_in_a_terminal_are_text_and_no_markup(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", ["timm", "[red]x[/red]", "\x1b[31my"])
    found = publish([str(results)], str(tmp_path / "board"))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_ranking(found.findings), highlight=False)
    text = console.export_text()
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
