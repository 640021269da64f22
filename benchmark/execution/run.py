"""The main job: what is missing from a store is trained and appended, record by record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark import grid as grids
from benchmark.errors import UsageError
from benchmark.execution.checkpoints import DriverCheckpoints
from benchmark.execution.cohort_plan import CohortPlan
from benchmark.execution.jobs import Event, Executor, Finished, Job, Notice, Settings
from benchmark.execution.limits import limits
from benchmark.execution.pairs import begun
from benchmark.results.logs import Logs
from benchmark.results.store import CONFIG, Store

if TYPE_CHECKING:
    from benchmark.config import GridConfig
    from benchmark.grid import Grid
    from benchmark.plugins import Plugin
    from benchmark.trial import Trial


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
            _train(grid, missing, store, executor, on_event)
        finally:
            executor.close()
    else:
        DriverCheckpoints(store, None, ())
    return summarise(grid, store)


def summarise(grid: Grid, store: Store) -> Summary:
    """Count the grid's trials in a store by status."""
    statuses: dict[str, int] = {}
    for trial in grid.trials:
        if status := store.statuses.get(trial.id):
            statuses[status] = statuses.get(status, 0) + 1
    return Summary(len(grid.trials), statuses)


def _train(
    grid: Grid,
    missing: Sequence[Trial],
    store: Store,
    executor: Executor,
    on_event: Callable[[Event], None],
) -> None:
    """Train the missing trials in their planned cohorts; write changes of the plan down."""
    execution = grid.config.execution
    plan = CohortPlan.read(store, execution.threads, executor.kinds)
    size = None if execution.cohort_size == "auto" else int(execution.cohort_size)
    cohorts = plan.cohorts(grid.trials, missing, size, executor.workers, executor.measure)
    wanted = {trial.id for trial in missing}
    planned = {cohort.id for cohort in cohorts}
    allowed = limits(cohorts, execution.time_limit_minutes, plan, store, executor)
    checkpoints = DriverCheckpoints(store, execution.checkpoint_minutes, cohorts)
    jobs = [
        Job(cohort, limit=limit, checkpoints=checkpoints.folder)
        for cohort, limit in zip(cohorts, allowed, strict=True)
    ]
    if any(plan.seconds(job.cohort) is None for job in jobs):
        # Cohorts of a given size were not measured, but their limits grow with what they take.
        jobs.sort(key=lambda job: job.limit or 0.0, reverse=True)
    logs = Logs(store.folder)
    notices: set[str] = set()
    for event in executor.run(jobs, execution.attempts, begun(store.each_record())):
        if isinstance(event, Finished):
            _keep_log(logs, event)
            # Members that are done were trained again for the sake of the others alone.
            records = [plan.noted(each) for each in event.records if each.trial in wanted]
            store.append(*records)
            event = replace(event, records=tuple(records))
            again = [job.cohort for job in event.again if job.cohort.id not in planned]
            planned |= {cohort.id for cohort in again}
            plan.write(again, event.note)
            checkpoints.settle(event)
            for text in set(event.notices) - notices:
                on_event(Notice(text))
            notices |= set(event.notices)
        on_event(event)
    checkpoints.delete_others()


def _keep_log(logs: Logs, event: Finished) -> None:
    """Keep what is known of trials that failed, or that are to be tried again."""
    failed = [record for record in event.records if record.status != "ok"]
    if event.again:
        trials = [trial.id for trial in event.job.cohort.trials]
        logs.add(trials, f"{event.job.name}: {event.note}", event.log)
    for record in failed:
        # The text of a whole cohort's failure is in the log already.
        text = event.log if event.note else f"{event.log}\n{record.message}"
        logs.add([record.trial], f"{event.job.name}: {record.status}", text)


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

    return RayExecutor(
        settings,
        address=execution.address,
        workers_per_node=execution.workers,
        gpus_per_worker=execution.gpus_per_worker,
        devices=execution.devices,
        patience=60 * execution.wait_for_nodes_minutes,
    )
