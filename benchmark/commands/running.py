"""`initbench run`: from a config to records, a leaderboard, and the last lines on the screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmark.errors import INTERRUPTED, TERMINATED, UsageError

if TYPE_CHECKING:
    from benchmark.execution.run import Summary
    from benchmark.grid import Grid
    from benchmark.plugins import Plugin
    from benchmark.results.store import Store


class Terminated(KeyboardInterrupt):
    """SIGTERM, as `kill` or a job scheduler sends it."""


def overrides(
    given: Sequence[str] | None,
    executor: str | None,
    address: str | None,
    workers: int | None,
    device: str | None,
) -> list[str]:
    """Return every `KEY=VALUE` that the command line asks for: options are short forms."""
    options = {"executor": executor, "address": address, "workers": workers, "device": device}
    short = [f"execution.{key}={value}" for key, value in options.items() if value is not None]
    return [*(given or []), *short]


def load_grid(
    config: Path, changes: Sequence[str], plugins: Sequence[str]
) -> tuple[Grid, list[Plugin]]:
    """Read a config with its plugins, check every name in it, and expand it."""
    from benchmark.config import load_config
    from benchmark.grid import expand
    from benchmark.plugins import installed_plugins, load_plugins

    load_plugins(plugins)
    grid = expand(load_config(config, changes))
    return grid, installed_plugins()


def results_folder(grid: Grid, out: str | None) -> str:
    """Return the folder of a grid's records."""
    return out or os.path.join("results", grid.config.name)


def dry_run(config: Path, changes: Sequence[str], plugins: Sequence[str]) -> None:
    """Send one generated batch through every cell and print how it went."""
    from benchmark.execution.price import try_cell

    grid, _ = load_grid(config, changes, plugins)
    console = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("cell", overflow="fold")
    for heading in ("M parameters", "batch", "s", "MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in grid.cells:
        with console.status(f"trying {cell}"):
            found = try_cell(cell, grid.config.execution.device)
        table.add_row(
            str(cell),
            f"{found.parameters / 1e6:.2f}",
            str(found.batch_size),
            f"{found.step_seconds[0]:.2f}",
            f"{found.memory / 2**20:,.0f}",
        )
    console.print(table, highlight=False)
    console.print(
        f"Every cell took a batch. {len(grid.trials)} trials would be trained; nothing was.",
        highlight=False,
    )


def run(
    config: Path,
    out: str | None,
    changes: Sequence[str],
    plugins: Sequence[str],
    retry: Sequence[str],
) -> int:
    """Train what is missing, publish the board beside the records, and return the exit code."""
    from benchmark.results.store import open_store
    from benchmark.trial import STATUSES

    if unknown := sorted(set(retry) - set(STATUSES)):
        raise UsageError(f"--retry {unknown[0]}: a status is one of {', '.join(STATUSES)}")
    console = Console()
    grid, installed = load_grid(config, changes, plugins)
    folder = results_folder(grid, out)
    with open_store(folder, len(grid.trials)) as store:
        try:
            with _sigterm_raises():
                summary = _train(grid, store, installed, retry, console)
        except KeyboardInterrupt as interrupt:
            kept = sum(trial.id in store.records for trial in grid.trials)
            console.print(
                f"Stopped. {kept} of {len(grid.trials)} trials are kept in {folder};"
                " the same command goes on from there.",
                highlight=False,
            )
            return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED
    return _report(folder, summary, console)


def _train(
    grid: Grid, store: Store, plugins: Sequence[Plugin], retry: Sequence[str], console: Console
) -> Summary:
    from benchmark.execution.progress import Progress
    from benchmark.execution.run import make_executor, train_missing
    from benchmark.grid import missing

    count = len(missing(grid, store.done(retry)))
    done = len(grid.trials) - count
    console.print(
        f"{grid.config.name}: {len(grid.cells)} cells x {len(grid.treatments)} treatments,"
        f" {len(grid.trials)} trials, {done} of them done.",
        highlight=False,
    )
    with Progress(console, len(grid.trials), done) as progress:
        return train_missing(
            grid,
            store,
            lambda: make_executor(grid.config, plugins),
            retry=retry,
            on_event=progress.show,
        )


def _report(folder: str, summary: Summary, console: Console) -> int:
    from benchmark.commands.reading import show_board

    show_board([folder], folder, console)
    if summary.failed:
        console.print(
            f"{summary.failed} of {summary.total} trials have no result:"
            f" see initbench status {folder}",
            style="yellow",
            highlight=False,
        )
    return 1 if summary.failed else 0


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Make SIGTERM end the run as Ctrl-C does; Ray's own handler, set at its start, would not."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
