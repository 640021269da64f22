"""Training in the driver's own process: the same code without Ray, for debugging."""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.execution.jobs import (
    Event,
    Job,
    Settings,
    Started,
    settle,
    with_circumstances,
)

if TYPE_CHECKING:
    from benchmark.execution.pairs import Pair
    from benchmark.execution.worker import Worker
    from benchmark.grid import Cohort
    from benchmark.training.speed import Throughput
    from benchmark.trial import Cell


class InlineExecutor:
    """One worker, in this process."""

    workers = 1
    keeps_limits = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _worker(self) -> Worker:
        from benchmark.execution.worker import Worker

        return Worker(self._settings)

    @property
    def kinds(self) -> set[str]:
        return {self._worker.device}

    def check(self, cells: Sequence[Cell]) -> list[str]:
        return self._worker.check(cells)

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        return [self._worker.measure(cohort) for cohort in cohorts]

    def run(self, jobs: Sequence[Job], attempts: int, begun: Mapping[Pair, str]) -> Iterator[Event]:
        queue = deque(jobs)
        while queue:
            job = queue.popleft()
            yield Started(job, platform.node(), self._worker.device)
            outcome = self._worker.train(job.cohort, job.checkpoints)
            if outcome.failure == "unfit_node":
                # There is no other node.
                outcome = replace(outcome, failure="error")
            finished = settle(job, outcome, attempts)
            queue.extendleft(reversed(finished.again))
            yield with_circumstances(finished)

    def close(self) -> None:
        """Nothing to end."""
