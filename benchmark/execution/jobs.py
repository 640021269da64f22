"""What an executor is given and gives back, and what follows from a failure.

Infrastructure failures are retried and never counted against a method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from benchmark.trial import Cell, Record, Status

if TYPE_CHECKING:
    from benchmark.grid import Cohort
    from benchmark.plugins import Plugin
    from benchmark.training.throughput import Throughput

Failure = Literal["out_of_memory", "timeout", "lost", "error"]


@dataclass(frozen=True)
class Settings:
    """What every worker needs to know; it travels to other machines.

    `device` is auto, cpu or cuda, `threads` those of a CPU worker, `data_dir` the folder of
    downloaded data sets.
    """

    device: str = "auto"
    threads: int = 1
    data_dir: str | None = None
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True)
class Job:
    """A cohort to train, and how often that was tried."""

    cohort: Cohort
    attempts: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a job: the records of its trials, or the failure of the whole cohort."""

    records: tuple[Record, ...] = ()
    failure: Failure | None = None
    message: str = ""


@dataclass(frozen=True)
class Started:
    """A worker has begun on a job."""

    job: Job


@dataclass(frozen=True)
class Finished:
    """A job has ended: its final records, and the jobs that take its place in the queue."""

    job: Job
    records: tuple[Record, ...]
    again: tuple[Job, ...] = field(default=())
    note: str = ""


Event = Started | Finished


class Executor(Protocol):
    """Where cohorts are trained: `workers` at a time."""

    @property
    def workers(self) -> int: ...

    def check(self, cells: Sequence[Cell]) -> list[str]:
        """Return what keeps any of these cells from being trained; nothing is trained."""

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        """Return how fast the cell of each cohort trains in cohorts up to its size."""

    def run(self, jobs: Sequence[Job], attempts: int) -> Iterator[Event]:
        """Train the jobs and yield what happens, as it happens."""

    def close(self) -> None:
        """End every worker."""


def settle(job: Job, outcome: Outcome, attempts: int) -> Finished:
    """Decide what follows from an outcome.

    Out of memory: both halves, and a trial alone keeps that as its status. Lost with its worker:
    again, each trial alone after the second time, `lost` after `attempts`. Too slow: once again,
    each alone, then `timeout`. An error of the whole cohort is not retried.
    """
    if outcome.failure is None:
        return Finished(job, outcome.records)
    tried = job.attempts + 1
    trials = len(job.cohort.trials)
    note = f"{job.cohort.cell}, {trials} trials: {outcome.failure}"
    if outcome.failure == "out_of_memory" and trials > 1:
        return Finished(job, (), tuple(Job(half) for half in job.cohort.halves()), note)
    limit = {"lost": attempts, "timeout": min(2, attempts)}.get(outcome.failure, 1)
    if tried < limit:
        alone = outcome.failure == "timeout" or tried >= 2
        cohorts = job.cohort.singly() if alone else [job.cohort]
        return Finished(job, (), tuple(Job(cohort, tried) for cohort in cohorts), note)
    return Finished(job, failed_records(job, outcome.failure, outcome.message), (), note)


def failed_records(job: Job, status: Status, message: str) -> tuple[Record, ...]:
    """Return a record of `status` for every trial of a job."""
    return tuple(Record.of(trial, status, message=message) for trial in job.cohort.trials)


def with_attempts(event: Finished) -> Finished:
    """Note in the records which attempt they come from."""
    attempt = event.job.attempts + 1
    records = tuple(
        replace(record, provenance={**record.provenance, "attempt": attempt})
        for record in event.records
    )
    return replace(event, records=records)
