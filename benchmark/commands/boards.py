"""`initbench board` and `initbench export`: what records become, written, checked and compared."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from benchmark.errors import FAILED, StoreError, UsageError
from benchmark.garbage import without_garbage_collection
from benchmark.publishing.table_source import is_table


def board(
    sources: Sequence[str],
    out: str | None,
    *,
    name: str | None = None,
    baseline: str | None = None,
    family: int | None = None,
) -> None:
    """Write the board of the sources and print its ranking."""
    if out is None:
        if len(sources) > 1:
            raise UsageError(
                "several sources make a board of their own: name its folder with --out"
            )
        if is_table(sources[0]):
            raise UsageError(f"{sources[0]} is a table: name the board's folder with --out")
    show_board(sources, out or sources[0], Console(), name=name, baseline=baseline, family=family)


@without_garbage_collection()
def check_boards(folders: Sequence[str]) -> int:
    """Print which files of which boards are not what their records give; return 1 if any."""
    from benchmark.publishing import check_all, has_board

    console = Console(highlight=False, markup=False, soft_wrap=True)
    failed = False
    for folder in folders:
        if is_table(folder):
            raise UsageError(f"{folder} is a table; --check takes boards, or a folder of them")
        for place, files in check_all(folder).items():
            failed = failed or bool(files)
            verdict = f"differs in {', '.join(files)}" if files else "is what its records give"
            if files and not has_board(place):
                verdict = f"has no board yet: initbench board {place} writes it"
            console.print(f"{place} {verdict}")
    return FAILED if failed else 0


def show_diff(sources: Sequence[str]) -> None:
    """Print in markdown what changed from one board to another."""
    from benchmark.publishing import diff

    if len(sources) != 2:
        raise UsageError("--diff compares two boards: initbench board --diff OLD NEW")
    typer.echo(diff(*sources), nl=False)


@without_garbage_collection()
def prepare_board() -> None:
    """Import what `show_board` needs, while there is time: most of a small board's cost."""
    for name in (
        "benchmark.publishing",
        "benchmark.publishing.plots.lettering",
        "matplotlib.figure",
        "scipy.special",
    ):
        importlib.import_module(name)


@without_garbage_collection()
def show_board(
    sources: Sequence[str],
    out: str,
    console: Console,
    *,
    name: str | None = None,
    baseline: str | None = None,
    family: int | None = None,
) -> None:
    """Write the board of the sources, and the index beside it; print its ranking and where it is.

    The index is written where the folder around `out` keeps one.
    """
    from benchmark.publishing import keeps_index, publish, terminal_ranking, write_index

    written = publish(sources, out, name=name, baseline=baseline, family=family)
    console.print(terminal_ranking(written.findings), highlight=False)
    lines = [f"Leaderboard: {out}/README.md, {out}/index.html; every run: {out}/trials.csv"]
    around = _around(out)
    if keeps_index(around):
        write_index(around)
        lines.append(f"Index of the boards: {around}/README.md")
    console.print("\n" + "\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def export(folder: str, form: str, out: str | None) -> None:
    """Write the trials, or for LaTeX the ranking, to a file or to standard output."""
    from benchmark.publishing import export as exported

    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UsageError("Parquet is no text for a terminal: name a file with --out")
    data = exported(folder, form)
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        Path(out).write_bytes(data)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error


def _around(out: str) -> str:
    """The folder that a board's folder lies in."""
    if "://" in out:
        return out.rstrip("/").rpartition("/")[0]
    return os.path.relpath(os.path.dirname(os.path.realpath(out)))
