"""`initbench run`: from a config to records, a leaderboard, and the last lines on the screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmark.errors import INTERRUPTED, TERMINATED, UsageError

if TYPE_CHECKING:
    from benchmark.execution.jobs import Executor
    from benchmark.execution.run import Summary
    from benchmark.grid import Grid
    from benchmark.plugins import Plugin
    from benchmark.results.store import Store


class Sigterm:
    """SIGTERM, as `kill` or a job scheduler sends it, ends a run as Ctrl-C does."""

    def __init__(self) -> None:
        self.received = False

    def listen(self) -> None:
        """Put the handler in place, of whoever else's."""
        signal.signal(signal.SIGTERM, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # Noted, because Ray turns what a handler raises in its calls into a KeyboardInterrupt.
        self.received = True
        raise KeyboardInterrupt


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
            f"{found.memory(cell.recipe.batch_size) / 2**20:,.0f}",
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
        sigterm = Sigterm()
        before = signal.getsignal(signal.SIGTERM)
        sigterm.listen()
        try:
            summary = _train(grid, store, installed, retry, console, sigterm)
        except KeyboardInterrupt:
            kept = sum(trial.id in store.records for trial in grid.trials)
            console.print(
                f"Stopped. {kept} of {len(grid.trials)} trials are kept in {folder};"
                " the same command goes on from there.",
                highlight=False,
            )
            return TERMINATED if sigterm.received else INTERRUPTED
        finally:
            signal.signal(signal.SIGTERM, before)
    return _report(folder, summary, console)


def _train(
    grid: Grid,
    store: Store,
    plugins: Sequence[Plugin],
    retry: Sequence[str],
    console: Console,
    sigterm: Sigterm,
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

    def executor() -> Executor:
        made = make_executor(grid.config, plugins)
        # Ray has put a handler of its own in place of ours, which would print its stack and abort.
        sigterm.listen()
        return made

    with Progress(console, len(grid.trials), done) as progress:
        return train_missing(
            grid,
            store,
            executor,
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
