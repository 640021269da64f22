"""The main job: what is missing from a store is trained and appended, record by record."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark import grid as grids
from benchmark.errors import UsageError
from benchmark.execution.jobs import Event, Executor, Finished, Job, Settings
from benchmark.results.store import CONFIG, Store

if TYPE_CHECKING:
    from benchmark.config import GridConfig
    from benchmark.grid import Grid
    from benchmark.plugins import Plugin

LARGEST_AUTO_COHORT = 4
COHORTS_PER_WORKER = 32


@dataclass(frozen=True)
class Summary:
    """How a run ended: trials by status, over the whole grid."""

    total: int
    statuses: dict[str, int]

    @property
    def missing(self) -> int:
        return self.total - sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Trials that have no result for another reason than divergence, which is one."""
        good = self.statuses.get("ok", 0) + self.statuses.get("diverged", 0)
        return self.total - good


def train_missing(
    grid: Grid,
    store: Store,
    make_executor: Callable[[], Executor],
    *,
    retry: Collection[str] = (),
    on_event: Callable[[Event], None] = lambda event: None,
) -> Summary:
    """Train every trial of the grid that the store lacks, and keep each record as it comes.

    Nothing is trained before every data set is loaded and every architecture has taken a batch:
    raises UsageError with all that is wrong. The executor is made only if something is missing.
    """
    store.write_manifest(grids.manifest(grid))
    store.write(CONFIG, grid.config.to_yaml())
    missing = grids.missing(grid, store.done(retry))
    if missing:
        executor = make_executor()
        try:
            cells = list({trial.cell.key: trial.cell for trial in missing}.values())
            if problems := executor.check(cells):
                raise UsageError("\n".join(problems))
            size = cohort_size(grid.config, len(missing), executor.workers)
            jobs = [Job(cohort) for cohort in grids.make_cohorts(missing, size)]
            for event in executor.run(jobs, grid.config.execution.attempts):
                if isinstance(event, Finished):
                    store.append(*event.records)
                on_event(event)
        finally:
            executor.close()
    return summarise(grid, store)


def summarise(grid: Grid, store: Store) -> Summary:
    """Count the grid's trials in a store by status."""
    statuses: dict[str, int] = {}
    for trial in grid.trials:
        if record := store.records.get(trial.id):
            statuses[record.status] = statuses.get(record.status, 0) + 1
    return Summary(len(grid.trials), statuses)


def cohort_size(config: GridConfig, missing: int, workers: int) -> int:
    """Return how many trials are trained side by side: as configured, or `auto`.

    Automatic cohorts are so small that every worker gets many of them: none waits long for
    another at the end, and a kill costs little.
    """
    if config.execution.cohort_size != "auto":
        return int(config.execution.cohort_size)
    return max(min(missing // (COHORTS_PER_WORKER * workers), LARGEST_AUTO_COHORT), 1)


def make_executor(config: GridConfig, plugins: Collection[Plugin]) -> Executor:
    """Make the executor that the config names; Ray is imported only for its own."""
    execution = config.execution
    settings = Settings(
        device=execution.device,
        threads=execution.threads,
        data_dir=str(config.data_dir) if config.data_dir else None,
        plugins=tuple(plugins),
    )
    if execution.executor == "inline":
        from benchmark.execution.inline import InlineExecutor

        return InlineExecutor(settings)
    from benchmark.execution.ray_pool import RayExecutor

    minutes = execution.time_limit_minutes
    return RayExecutor(
        settings,
        address=execution.address,
        workers_per_node=execution.workers,
        gpus_per_worker=execution.gpus_per_worker,
        time_limit=None if minutes is None else 60 * minutes,
    )
