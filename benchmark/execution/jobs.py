"""What an executor is given and gives back, and what follows from a failure.

Infrastructure failures are retried and never counted against a method.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchmark.execution.provenance import moment
from benchmark.trial import Cell, Record, Status
from benchmark.wording import counted

if TYPE_CHECKING:
    from benchmark.execution.checkpoints import CheckpointFolder
    from benchmark.execution.pairs import Pair
    from benchmark.grid import Cohort
    from benchmark.plugins import Plugin
    from benchmark.training.speed import Throughput

Failure = Literal["out_of_memory", "timeout", "lost", "error", "unfit_node"]
"""`unfit_node`: the node cannot read the data, which is no fault of the trial."""


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
    """A cohort to train, how often that was tried, and the seconds it may take (None: any).

    `checkpoints` is where its state is kept meanwhile, if anywhere.
    """

    cohort: Cohort
    attempts: int = 0
    limit: float | None = None
    checkpoints: CheckpointFolder | None = None

    @property
    def name(self) -> str:
        """What tells this try of the cohort from every other."""
        return f"{self.cohort.id}, attempt {self.attempts + 1}"


@dataclass(frozen=True)
class Outcome:
    """What came of a job: the records of its trials, or the failure of the whole cohort.

    `log` is what its worker printed meanwhile, if anything went wrong, `notices` what people
    should know however it went.
    """

    records: tuple[Record, ...] = ()
    failure: Failure | None = None
    message: str = ""
    log: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """A worker has begun on a job, on a device of a node."""

    job: Job
    node: str = ""
    device: str = ""


@dataclass(frozen=True)
class Finished:
    """A job has ended: its final records, and the jobs that take its place in the queue.

    `note` is a line for people where it failed as a whole, `failure` how, `log` what its worker
    printed and raised, `notices` are lines for people however it went.
    """

    job: Job
    records: tuple[Record, ...]
    again: tuple[Job, ...] = field(default=())
    note: str = ""
    log: str = ""
    notices: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class Notice:
    """Something about the workers or their nodes that people should know."""

    text: str


@dataclass(frozen=True)
class NodesSeen:
    """The nodes as they are now: name, kind, workers and what is wrong, as data for a status."""

    nodes: tuple[Mapping[str, Any], ...]


Event = Started | Finished | Notice | NodesSeen


class QueueEnd:
    """Watches for the moment when a worker is free and others have all of what is left to train.

    `trials` is how many are to be trained.
    """

    def __init__(self, trials: int) -> None:
        self._left = trials
        self._in_hands = 0
        self._begun = False

    def begins_with(self, event: Event) -> bool:
        """Whether this event is the first from which on nothing waits to be handed out."""
        if isinstance(event, Started):
            self._in_hands += len(event.job.cohort.trials)
        elif isinstance(event, Finished):
            self._in_hands -= len(event.job.cohort.trials)
            self._left -= len(event.records)
            if not self._begun and self._in_hands >= max(self._left, 1):
                self._begun = True
                return True
        return False


class Executor(Protocol):
    """Where cohorts are trained: `workers` at a time.

    `keeps_limits` says whether a job that exceeds its limit is ended, `kinds` names the kinds of
    device that there are workers on; some may join later.
    """

    @property
    def keeps_limits(self) -> bool: ...

    @property
    def workers(self) -> int: ...

    @property
    def kinds(self) -> Collection[str]: ...

    def check(self, cells: Sequence[Cell]) -> list[str]:
        """Return what keeps any of these cells from being trained; nothing is trained."""

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        """Return how fast the cell of each cohort trains in cohorts up to its size."""

    def run(self, jobs: Sequence[Job], attempts: int, begun: Mapping[Pair, str]) -> Iterator[Event]:
        """Train the jobs and yield what happens, as it happens.

        `begun` says on which kind of device pairs of trials were begun earlier.
        """

    def close(self) -> None:
        """End every worker."""


def settle(job: Job, outcome: Outcome, attempts: int) -> Finished:
    """Decide what follows from an outcome.

    Out of memory: both halves, and a trial alone keeps that as its status. Lost with its worker:
    again as it is, for its numbers depend on its company, up to `attempts` times; then each trial
    alone for a last time, so that one that kills its worker takes no other with it; then `lost`.
    Too slow: the same, but no more than two times before it is alone. A node that cannot read the
    data: again, elsewhere. An error of the whole cohort is not retried.
    """
    if outcome.failure is None:
        return Finished(job, outcome.records, log=outcome.log, notices=outcome.notices)
    cohort, tried = job.cohort, job.attempts + 1
    again: list[Job] = []
    if outcome.failure == "unfit_node":
        again = [job]
    elif outcome.failure == "out_of_memory" and len(cohort.trials) > 1:
        again = [replace(job, cohort=half) for half in cohort.halves()]
    elif outcome.failure in ("lost", "timeout"):
        limit = attempts if outcome.failure == "lost" else min(2, attempts)
        if tried < limit:
            again = [replace(job, attempts=tried)]
        elif len(cohort.trials) > 1:
            again = [replace(job, cohort=each, attempts=limit - 1) for each in cohort.singly()]
    reason = (outcome.message.strip().splitlines() or [""])[-1]
    note = (
        f"{outcome.failure}, {'tried again' if again else 'given up'}: {cohort.cell},"
        f" {counted(len(cohort.trials), 'trial')} from {cohort.trials[0].id}: {reason}"
    )
    log = "\n".join(part for part in (outcome.log.strip("\n"), outcome.message) if part)
    records = () if again else failed_records(job, outcome.failure, outcome.message)
    return Finished(job, records, tuple(again), note, log, outcome.notices, outcome.failure)


def failed_records(job: Job, failure: Failure, message: str) -> tuple[Record, ...]:
    """Return a record of its failure for every trial of a job."""
    status: Status = "error" if failure == "unfit_node" else failure
    return tuple(Record.of(trial, status, message=message) for trial in job.cohort.trials)


def with_circumstances(event: Finished) -> Finished:
    """Note in the records which attempt they come from, and when it ended by the driver's clock."""
    noted = {"attempt": event.job.attempts + 1, "finished": moment()}
    records = tuple(
        replace(record, provenance={**record.provenance, **noted}) for record in event.records
    )
    return replace(event, records=records)
