"""Training in the driver's own process: the same code without Ray, for debugging."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.execution.jobs import (
    Event,
    Job,
    Settings,
    Started,
    settle,
    with_attempts,
)

if TYPE_CHECKING:
    from benchmark.execution.worker import Worker
    from benchmark.grid import Cohort
    from benchmark.training.throughput import Throughput
    from benchmark.trial import Cell


class InlineExecutor:
    """One worker, in this process."""

    workers = 1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _worker(self) -> Worker:
        from benchmark.execution.worker import Worker

        return Worker(self._settings)

    def check(self, cells: Sequence[Cell]) -> list[str]:
        return self._worker.check(cells)

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        return [self._worker.measure(cohort) for cohort in cohorts]

    def run(self, jobs: Sequence[Job], attempts: int) -> Iterator[Event]:
        queue = deque(jobs)
        while queue:
            job = queue.popleft()
            yield Started(job)
            finished = settle(job, self._worker.train(job.cohort), attempts)
            queue.extendleft(reversed(finished.again))
            yield with_attempts(finished)

    def close(self) -> None:
        """Nothing to end."""
