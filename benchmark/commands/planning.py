"""`initbench plan`: what a grid holds, how much of it is done, and the price of the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from benchmark.commands.running import load_grid, results_folder
from benchmark.execution.progress import duration
from benchmark.narrow import Name
from benchmark.wording import counted

if TYPE_CHECKING:
    from benchmark.execution.price import CellPrice, Price

_NOTES = {
    "cohorts": "cohorts: training steps as an earlier run has measured them, without evaluation.",
    "probe": "probe: one trial by itself; cohorts usually take about half, several workers on one"
    " machine longer.",
}


def plan(
    config: Path,
    out: str | None,
    changes: Sequence[str],
    plugins: Sequence[str],
    *,
    as_json: bool,
    measure: bool,
) -> None:
    """Print the plan of a config; cells without records are measured unless told otherwise."""
    from benchmark.execution.cohort_plan import CohortPlan
    from benchmark.execution.price import price
    from benchmark.grid import missing
    from benchmark.results.store import read_store

    grid = load_grid(config, changes, plugins)
    folder = results_folder(grid.config, out)
    store = read_store(folder)
    left = missing(grid, store.done())
    seeds = len({trial.seed for trial in grid.trials})
    counts = {
        "name": grid.config.name,
        "folder": folder,
        "cells": len(grid.cells),
        "treatments": len(grid.treatments),
        "seeds": seeds,
        "trials": len(grid.trials),
        "done": len(grid.trials) - len(left),
        "missing": len(left),
    }
    console = Console(stderr=as_json)
    paid: Price | None = None
    if measure and left:
        with console.status("measuring") as spinner:
            paid = price(
                grid.config,
                left,
                store.records.values(),
                CohortPlan.read(store, grid.config.execution.threads),
                on_cell=lambda cell: spinner.update(f"measuring {cell}"),
            )
    if as_json:
        typer.echo(json.dumps({**counts, "price": paid.to_dict() if paid else None}, indent=2))
        return
    console.print(
        f"{grid.config.name}: {counted(len(grid.cells), 'cell')} x"
        f" {counted(len(grid.treatments), 'treatment')} x {counted(seeds, 'seed')},"
        f" {counted(len(grid.trials), 'trial')}\n"
        f"{len(grid.trials) - len(left):,} done, {len(left):,} missing in {folder}",
        highlight=False,
    )
    if paid:
        _show(paid, console)
    elif not left:
        console.print(f"Nothing is left to train: initbench board {folder}", highlight=False)


def _show(paid: Price, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    for heading in ("trials", "s / trial", "range", "MiB", "from"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in paid.cells:
        table.add_row(Name(" / ".join(cell.cell)), *_row(cell))
    console.print(table)
    total, low, high = paid.device_seconds
    wall, soonest, latest = paid.wall_seconds
    console.print(
        f"Price: {total / 3600:.2f} device-hours ({low / 3600:.2f} to {high / 3600:.2f}) on"
        f" {paid.device}, {duration(wall)} ({duration(soonest)} to {duration(latest)}) with"
        f" {counted(paid.workers, 'worker')}, start-up not counted.",
        highlight=False,
    )
    sources = {cell.source for cell in paid.cells}
    for source in [source for source in _NOTES if source in sources]:
        console.print(_NOTES[source], style="dim", highlight=False)


def _row(cell: CellPrice) -> tuple[str, ...]:
    return (
        str(cell.missing),
        f"{cell.seconds:.1f}",
        f"{cell.low:.1f}-{cell.high:.1f}",
        "-" if cell.memory is None else f"{cell.memory / 2**20:,.0f}",
        cell.source,
    )
