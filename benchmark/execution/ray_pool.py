"""A pool of long-lived Ray actors, one for each GPU share or group of cores of every node.

The driver hands out cohorts and replaces what dies: actors are never restarted by Ray, so that a
death shows at once and with its cause. Nodes that join are used, nodes that leave are survived.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import RunError, UsageError
from benchmark.execution.jobs import (
    Event,
    Job,
    Outcome,
    Settings,
    Started,
    settle,
    with_attempts,
)

if TYPE_CHECKING:
    from benchmark.grid import Cohort
    from benchmark.training.throughput import Throughput
    from benchmark.trial import Cell

POLL_SECONDS = 1.0
FAILED_STARTS = 2
"""No more workers are started on a node where so many in a row have failed to start."""


class WorkerActor:
    """The actor's shell: it loads what is heavy in `ready`, and returns errors as text."""

    def ready(self, settings: Settings) -> str:
        """Make the worker; return what went wrong, or nothing."""
        import traceback

        try:
            from benchmark.execution.worker import Worker

            self._worker = Worker(settings)
        except UsageError as error:
            return str(error)
        except Exception:
            return traceback.format_exc().rstrip()
        return ""

    def check(self, cells: Sequence[Cell]) -> list[str]:
        """Return what keeps these cells from being trained."""
        return self._worker.check(cells)

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        """Measure how fast the cells of these cohorts train."""
        return [self._worker.measure(cohort) for cohort in cohorts]

    def train(self, job: Job) -> Outcome:
        """Train a cohort."""
        return self._worker.train(job.cohort)


@dataclass(frozen=True)
class Busy:
    """A job in an actor's hands, and when its time is up (None for never)."""

    actor: Any
    job: Job
    deadline: float | None


class RayExecutor:
    """Workers on a Ray cluster: the one at `address`, the one this process was submitted to, or a
    local one that lives as long as this.

    `workers_per_node` bounds the actors of a node, `gpus_per_worker` is a share of a GPU or a
    number of whole ones, `time_limit` the seconds a cohort may take for each of its trials.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        address: str | None = None,
        workers_per_node: int | None = None,
        gpus_per_worker: float = 1.0,
        time_limit: float | None = None,
        actor_class: type = WorkerActor,
    ) -> None:
        self._settings = settings
        self._workers_per_node = workers_per_node
        self._gpus_per_worker = gpus_per_worker
        self._time_limit = time_limit
        self._actor_class = actor_class
        self._ray = _connect(address, workers_per_node)
        self._idle: list[Any] = []
        self._warming: dict[Any, Any] = {}
        self._busy: dict[Any, Busy] = {}
        self._node_of: dict[Any, str] = {}
        self._failed_starts: Counter[str] = Counter()
        self._start_error = ""
        self._ever_ready = False
        self._fill()

    @property
    def workers(self) -> int:
        """How many cohorts are trained at a time, with the nodes that are there now."""
        return max(sum(self._slots(node) for node in self._nodes()), 1)

    def check(self, cells: Sequence[Cell]) -> list[str]:
        while not self._idle:
            self._advance()
        return list(self._ray.get(self._idle[0].check.remote(cells)))

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        while not self._idle:
            self._advance()
        actors = len(self._idle)
        parts = [
            actor.measure.remote(cohorts[place::actors]) for place, actor in enumerate(self._idle)
        ]
        found: list[Any] = [None] * len(cohorts)
        for place, part in enumerate(self._ray.get(parts)):
            found[place::actors] = part
        return found

    def run(self, jobs: Sequence[Job], attempts: int) -> Iterator[Event]:
        queue = deque(jobs)
        next_fill = 0.0
        while queue or self._busy:
            if time.monotonic() >= next_fill:
                self._fill()
                next_fill = time.monotonic() + POLL_SECONDS
            while queue and self._idle:
                yield self._hand_out(queue.popleft())
            for job, outcome in self._advance():
                finished = settle(job, outcome, attempts)
                queue.extend(finished.again)
                yield with_attempts(finished)
                next_fill = 0.0 if outcome.failure else next_fill

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._ray.shutdown()

    def _hand_out(self, job: Job) -> Started:
        actor = self._idle.pop()
        deadline = None
        if self._time_limit is not None:
            deadline = time.monotonic() + self._time_limit * len(job.cohort.trials)
        self._busy[actor.train.remote(job)] = Busy(actor, job, deadline)
        return Started(job)

    def _advance(self) -> list[tuple[Job, Outcome]]:
        """Wait a moment; return the jobs that came to an end, with their outcome."""
        waiting = [*self._busy, *self._warming]
        if not waiting:
            self._fill()
            if not self._warming:
                raise (RunError if self._ever_ready else UsageError)(self._no_workers())
            return []
        done, _ = self._ray.wait(waiting, timeout=POLL_SECONDS)
        ended = []
        for reference in done:
            if reference in self._warming:
                self._greet(reference)
            else:
                ended.append(self._take(reference))
        return ended + self._overdue()

    def _greet(self, reference: Any) -> None:
        actor = self._warming.pop(reference)
        node = self._node_of[actor]
        try:
            error = self._ray.get(reference)
        except self._ray.exceptions.RayError as failure:
            error = str(failure)
        if error:
            self._failed_starts[node] += 1
            self._start_error = error
            self._drop(actor)
        else:
            self._failed_starts[node] = 0
            self._ever_ready = True
            self._idle.append(actor)

    def _take(self, reference: Any) -> tuple[Job, Outcome]:
        busy = self._busy.pop(reference)
        exceptions = self._ray.exceptions
        try:
            outcome = self._ray.get(reference)
        except (
            exceptions.ActorDiedError,
            exceptions.ActorUnavailableError,
            exceptions.ActorUnschedulableError,
            exceptions.OutOfMemoryError,
        ) as error:
            self._drop(busy.actor)
            return busy.job, Outcome(failure="lost", message=_first_line(error))
        except exceptions.RayError as error:
            self._drop(busy.actor)
            return busy.job, Outcome(failure="error", message=str(error))
        self._idle.append(busy.actor)
        return busy.job, outcome

    def _overdue(self) -> list[tuple[Job, Outcome]]:
        now = time.monotonic()
        late = [
            reference
            for reference, busy in self._busy.items()
            if busy.deadline is not None
            and busy.deadline < now
            # A result that is already there is taken, however late this loop comes to it.
            and not self._ray.wait([reference], timeout=0)[0]
        ]
        ended = []
        for reference in late:
            busy = self._busy.pop(reference)
            self._drop(busy.actor)
            ended.append((busy.job, Outcome(failure="timeout", message="the time limit was hit")))
        return ended

    def _fill(self) -> None:
        """Start the actors that the nodes which are alive have room for; forget dead nodes'."""
        nodes = self._nodes()
        alive = {node["NodeID"] for node in nodes}
        for actor in [a for a in self._idle if self._node_of[a] not in alive]:
            self._idle.remove(actor)
            self._drop(actor)
        present = Counter(self._node_of.values())
        for node in nodes:
            name = node["NodeID"]
            if self._failed_starts[name] < FAILED_STARTS:
                for _ in range(self._slots(node) - present[name]):
                    self._start(node)

    def _start(self, node: dict[str, Any]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        gpus = self._gpus_per_worker if self._on_gpu(node) else 0
        actor = (
            self._ray.remote(self._actor_class)
            .options(
                num_cpus=self._settings.threads,
                num_gpus=gpus,
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            .remote()
        )
        self._node_of[actor] = node["NodeID"]
        self._warming[actor.ready.remote(self._settings)] = actor

    def _drop(self, actor: Any) -> None:
        self._node_of.pop(actor, None)
        with contextlib.suppress(Exception):
            self._ray.kill(actor)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _on_gpu(self, node: dict[str, Any]) -> bool:
        return self._settings.device != "cpu" and node["Resources"].get("GPU", 0) > 0

    def _slots(self, node: dict[str, Any]) -> int:
        slots = int(node["Resources"].get("CPU", 0) // self._settings.threads)
        if self._on_gpu(node):
            gpus, share = int(node["Resources"]["GPU"]), self._gpus_per_worker
            slots = min(slots, gpus * int(1 / share) if share <= 1 else gpus // int(share))
        elif self._settings.device == "cuda":
            slots = 0
        if self._workers_per_node is not None:
            slots = min(slots, self._workers_per_node)
        return slots

    def _no_workers(self) -> str:
        if self._start_error:
            return f"no worker could be started: {self._start_error}"
        wanted = f"{self._settings.threads} CPUs"
        if self._settings.device == "cuda":
            wanted += f" and {self._gpus_per_worker:g} GPUs"
        return f"no node of the Ray cluster has room for a worker of {wanted}"


def _connect(address: str | None, workers: int | None) -> Any:
    """Join a cluster or start a local one, without a line on the screen; return the ray module.

    Raises UsageError where ray is not installed or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray._private import worker
    except ImportError as error:
        raise UsageError("ray is not installed; pip install ray, or --executor inline") from error
    # Ray writes "A worker died" to stdout whatever log_to_driver says; only this holds it back.
    worker._worker_logs_enabled = False
    where = address or ("auto" if os.environ.get("RAY_ADDRESS") else "local")
    options: dict[str, Any] = {}
    if where == "local":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        options = {
            "include_dashboard": False,
            "object_store_memory": 200 * 2**20,
            "num_cpus": max(cores or 1, workers or 1),
        }
    try:
        ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"cannot join the Ray cluster at {where}: {_first_line(error)}") from error
    return ray


def _first_line(error: BaseException) -> str:
    lines = itertools.chain(str(error).strip().splitlines(), [type(error).__name__])
    return next(iter(lines))
