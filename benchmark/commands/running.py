"""`initbench run`: from a config to records, a leaderboard, and the last lines on the screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmark.errors import INTERRUPTED, TERMINATED, StoreError, UsageError
from benchmark.narrow import Name
from benchmark.wording import counted

if TYPE_CHECKING:
    from benchmark.config import GridConfig
    from benchmark.execution.jobs import Event, Executor
    from benchmark.execution.run import Summary
    from benchmark.grid import Grid
    from benchmark.results.store import Store


class Stopping:
    """Ctrl-C, and SIGTERM as `kill` or a job scheduler sends it, end a run: in order the first
    time, at once the second.
    """

    def __init__(self) -> None:
        self.code: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen until the end of the block, and put the handlers of before back."""
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Put the handlers in place, of whoever else's."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        code = TERMINATED if number == signal.SIGTERM else INTERRUPTED
        if self.code is not None:
            os.write(2, b"Stopped at once. Every finished trial is kept.\n")
            os._exit(code)
        # Noted, because Ray turns what a handler raises in its calls into a KeyboardInterrupt.
        self.code = code
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


def load_grid(config: Path, changes: Sequence[str], plugins: Sequence[str]) -> Grid:
    """Read a config with its plugins, check every name in it, and expand it."""
    from benchmark.config import load_config
    from benchmark.grid import expand
    from benchmark.plugins import load_plugins

    load_plugins(plugins)
    return expand(load_config(config, changes))


def results_folder(config: GridConfig, out: str | None) -> str:
    """Return the folder of a grid's records; raises UsageError for one that a job would lose."""
    from benchmark.commands.submitting import lasting

    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return lasting(out)
    return out or os.path.join("results", config.name)


def dry_run(config: Path, changes: Sequence[str], plugins: Sequence[str]) -> None:
    """Send one generated batch through every cell and print how it went."""
    from benchmark.execution.price import try_cell

    grid = load_grid(config, changes, plugins)
    console = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    for heading in ("M parameters", "batch", "s", "MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in grid.cells:
        with console.status(f"trying {cell}"):
            found = try_cell(cell, grid.config.execution.device)
        table.add_row(
            Name(str(cell)),
            f"{found.parameters / 1e6:.2f}",
            str(found.batch_size),
            f"{found.step_seconds[0]:.2f}",
            f"{found.memory(cell.recipe.batch_size) / 2**20:,.0f}",
        )
    console.print(table, highlight=False)
    console.print(
        f"Every cell took a batch. {counted(len(grid.trials), 'trial')} would be trained;"
        " nothing was.",
        highlight=False,
    )


def run(
    config: Path,
    out: str | None,
    changes: Sequence[str],
    plugins: Sequence[str],
    retry: Sequence[str],
) -> int:
    """Read a config with its plugins, train what is missing of it, and return the exit code."""
    from benchmark.config import load_config
    from benchmark.plugins import load_plugins
    from benchmark.trial import STATUSES

    if unknown := sorted(set(retry) - set(STATUSES)):
        raise UsageError(f"--retry {unknown[0]}: a status is one of {', '.join(STATUSES)}")
    load_plugins(plugins)
    loaded = load_config(config, changes)
    return run_config(loaded, results_folder(loaded, out), retry)


def run_config(loaded: GridConfig, folder: str, retry: Sequence[str]) -> int:
    """Train what is missing, publish the board beside the records, and return the exit code."""
    stopping, console = Stopping(), Console()
    with stopping.listening():
        try:
            return _run(loaded, folder, retry, console, stopping)
        except KeyboardInterrupt:
            # Before training or behind it, where Ray's processes start and end.
            console.print("Stopped.")
            return stopping.code or INTERRUPTED


def _run(
    loaded: GridConfig, folder: str, retry: Sequence[str], console: Console, stopping: Stopping
) -> int:
    from benchmark.grid import expand
    from benchmark.results.store import open_store

    _refuse_board(folder)
    with _executor_ahead(loaded, folder, retry) as ahead:
        grid = expand(loaded)
        with open_store(folder, len(grid.trials), console.print) as store:
            try:
                summary = _train(grid, store, ahead.executor, retry, console, stopping)
            except KeyboardInterrupt:
                ahead.wait()
                kept = sum(trial.id in store.statuses for trial in grid.trials)
                console.print(
                    f"Stopped. {kept:,} of {counted(len(grid.trials), 'trial')} kept in {folder};"
                    " the same command goes on from there.",
                    highlight=False,
                )
                return stopping.code or INTERRUPTED
        return _report(folder, summary, console)


def _refuse_board(folder: str) -> None:
    """Raise UsageError for a published board, whose records a run would neither see nor keep."""
    from benchmark.results.frame import is_board

    if is_board(folder):
        raise UsageError(
            f"{folder} is a board, which is made of records and takes none. To train what it lacks,"
            " take its records into a folder of your own and name that with --out:"
            f" initbench merge {folder} --into results/NAME"
        )


class ClosedBeside:
    """An executor whose `close` returns at once and goes on beside the board, until `wait`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._closing: Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def close(self) -> None:
        """Begin to close the executor, which for Ray is to wait for its processes to end."""
        if self._closing is None:
            self._closing = Thread(target=self._executor.close, name="closing the executor")
            self._closing.start()

    def wait(self) -> None:
        """Return when the executor is closed."""
        self.close()
        if self._closing is not None:
            self._closing.join()


@dataclass(frozen=True)
class Ahead:
    """What makes the executor, and what waits until it is closed."""

    executor: Callable[[], Executor]
    wait: Callable[[], None] = lambda: None


@contextmanager
def _executor_ahead(config: GridConfig, folder: str, retry: Sequence[str]) -> Iterator[Ahead]:
    """Start Ray's workers before the grid is expanded: they load torch and timm meanwhile.

    Yields what returns the executor: one that is made only then if there seems to be nothing to
    train, if another driver is at work, or if the executor takes no time to start.
    """
    from benchmark.execution.run import make_executor
    from benchmark.plugins import installed_plugins

    if config.execution.executor == "inline" or not _seems_unfinished(config, folder, retry):
        yield Ahead(lambda: make_executor(config, installed_plugins()))
        return
    executor = ClosedBeside(make_executor(config, installed_plugins()))
    try:
        yield Ahead(lambda: executor, executor.wait)
    finally:
        executor.wait()


def _seems_unfinished(config: GridConfig, folder: str, retry: Sequence[str]) -> bool:
    from benchmark.results.frame import load_manifest
    from benchmark.results.store import read_store, running_driver

    if running_driver(folder):
        return False
    done = read_store(folder).done(retry)
    try:
        manifest = load_manifest(folder)
    except StoreError:
        return True
    changed = manifest.get("config") != config.to_dict()
    return changed or any(trial not in done for trial, *_ in manifest["trials"])


def _train(
    grid: Grid,
    store: Store,
    make_executor: Callable[[], Executor],
    retry: Sequence[str],
    console: Console,
    stopping: Stopping,
) -> Summary:
    from benchmark.commands.boards import prepare_board
    from benchmark.execution.jobs import QueueEnd
    from benchmark.execution.progress import Progress
    from benchmark.execution.run import train_missing
    from benchmark.execution.status import StatusWriter
    from benchmark.grid import missing

    count = len(missing(grid, store.done(retry)))
    done = len(grid.trials) - count
    console.print(
        f"{grid.config.name}: {counted(len(grid.cells), 'cell')} x"
        f" {counted(len(grid.treatments), 'treatment')}, {counted(len(grid.trials), 'trial')},"
        f" {done:,} of them done.",
        highlight=False,
    )

    def executor() -> Executor:
        made = make_executor()
        # Ray has put a handler of its own in place of ours, which would print its stack and abort.
        stopping.listen()
        return made

    with Progress(console, len(grid.trials), done) as progress, StatusWriter(store) as status:
        end = QueueEnd(count)

        def show(event: Event) -> None:
            progress.show(event)
            status.show(event)
            if end.begins_with(event):
                # Nobody is kept waiting: there is nothing to hand out.
                prepare_board()

        return train_missing(grid, store, executor, retry=retry, on_event=show)


def _report(folder: str, summary: Summary, console: Console) -> int:
    from benchmark.commands.boards import show_board

    show_board([folder], folder, console)
    if summary.failed:
        console.print(
            f"{summary.failed:,} of {counted(summary.total, 'trial')} without a result:"
            f" see initbench status {folder}, and initbench logs TRIAL --records {folder}",
            style="yellow",
            highlight=False,
        )
    return 1 if summary.failed else 0
