"""A pool of long-lived Ray actors, one for each GPU share or group of cores of every node.

The driver hands out cohorts and replaces what dies: actors are never restarted by Ray, so that a
death shows at once and with its cause. Nodes that join are used, nodes that leave are survived.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.errors import RunError
from benchmark.execution.jobs import (
    Event,
    Job,
    Notice,
    Outcome,
    Settings,
    Started,
    settle,
    with_circumstances,
)
from benchmark.execution.output import last_words
from benchmark.execution.pairs import Kinds, Pair
from benchmark.execution.ray_actor import WorkerActor
from benchmark.execution.ray_connection import Guard, connect
from benchmark.execution.ray_nodes import Demand
from benchmark.execution.ray_requests import Requests
from benchmark.execution.ray_workers import Actor, Workers, on_node, reason

if TYPE_CHECKING:
    from benchmark.grid import Cohort
    from benchmark.training.speed import Throughput
    from benchmark.trial import Cell

POLL_SECONDS = 1.0
LAST_WORDS_SECONDS = 20.0
"""So long is waited for what a dead worker has written; its job is not handed out meanwhile."""

TRIES = 3
"""How often a question is asked of workers that die of it."""


@dataclass(frozen=True)
class Busy:
    """A job in an actor's hands, and when its time is up (None for never)."""

    actor: Actor
    job: Job
    deadline: float | None


@dataclass(frozen=True)
class Dead:
    """A job whose worker has ended, and until when its last words are waited for."""

    job: Job
    outcome: Outcome
    deadline: float


class RayExecutor:
    """Workers on a Ray cluster: the one at `address`, the one this process was submitted to, or a
    local one that lives as long as this.

    `workers_per_node` bounds the actors of a node, `gpus_per_worker` is a share of a GPU or a
    number of whole ones, `devices` names the kinds that are wanted. With `patience`, in seconds,
    Ray's autoscaler is asked for nodes, and waited for so long; `close` takes the request back,
    which a driver that is killed leaves to the cluster.
    """

    keeps_limits = True

    def __init__(
        self,
        settings: Settings,
        *,
        address: str | None = None,
        workers_per_node: int | None = None,
        gpus_per_worker: float = 1.0,
        devices: Sequence[str] = (),
        patience: float = 0.0,
        actor_class: type = WorkerActor,
    ) -> None:
        self._ray = connect(address, workers_per_node)
        demand = Demand(settings, gpus_per_worker, workers_per_node, tuple(devices))
        self._workers = Workers(self._ray, demand, actor_class, Requests(demand, patience))
        self._busy: dict[Any, Busy] = {}
        self._dead: dict[Any, Dead] = {}
        self._workers.fill()
        self._guard = Guard(self._workers.head.address)

    @property
    def workers(self) -> int:
        """How many cohorts are trained at a time, with the nodes that are there now."""
        nodes = self._workers.nodes
        return max(sum(nodes.slots(node) for node in nodes.usable), 1)

    @property
    def kinds(self) -> set[str]:
        """The kinds of device of the workers that have begun."""
        actors = [*self._workers.idle, *(busy.actor for busy in self._busy.values())]
        return {actor.greeting.device for actor in actors}

    def check(self, cells: Sequence[Cell]) -> list[str]:
        """As every executor. A node that finds fault where another finds none is left out."""
        found: dict[str, list[str]] = {}
        deaths: Counter[str] = Counter()
        while True:
            fresh = [actor for actor in self._workers.idle if actor.node not in found]
            if not fresh:
                if found and all(each.node in found for each in self._workers.warming.values()):
                    return next(iter(found.values()))
                self._advance()
                continue
            actor = fresh[0]
            try:
                problems = list(self._answer(actor.handle.check.remote(cells)))
            except self._ray.exceptions.RayError as error:
                self._workers.drop(actor)
                self._workers.fill()
                deaths[actor.node] += 1
                if deaths[actor.node] >= TRIES:
                    found[actor.node] = [f"a worker that tried the cells ended: {reason(error)}"]
                continue
            if not problems:
                for node, own in found.items():
                    self._workers.leave_out(node, own[0])
                return []
            found[actor.node] = problems

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        """As every executor. Workers take a cell each, also those that begin meanwhile."""
        queue, tries = deque(range(len(cohorts))), Counter[int]()
        found: dict[int, Throughput] = {}
        asked: dict[Any, tuple[Actor, int]] = {}
        while len(found) < len(cohorts):
            while queue and self._workers.idle:
                actor, place = self._workers.idle.pop(0), queue.popleft()
                asked[actor.handle.measure.remote(cohorts[place])] = actor, place
            if not asked:
                self._advance()
                continue
            for reference in self._wait([*asked, *self._workers.warming]):
                if reference in self._workers.warming:
                    self._workers.greet(reference)
                    continue
                actor, place = asked.pop(reference)
                try:
                    found[place] = self._ray.get(reference)
                    self._workers.rest(actor)
                except self._ray.exceptions.RayError as error:
                    self._workers.drop(actor)
                    self._workers.fill()
                    tries[place] += 1
                    if tries[place] >= TRIES:
                        raise RunError(
                            f"workers that measured the cells ended: {reason(error)}"
                        ) from error
                    queue.append(place)
        return [found[place] for place in range(len(cohorts))]

    def run(self, jobs: Sequence[Job], attempts: int, begun: Mapping[Pair, str]) -> Iterator[Event]:
        queue = deque(jobs)
        kinds = Kinds(begun)
        next_fill = 0.0
        while queue or self._busy or self._dead:
            if time.monotonic() >= next_fill:
                self._workers.fill()
                if not self._workers.head.silent:
                    wanted = self._workers.nodes.bundles(len(queue) + len(self._busy))
                    self._workers.requests.ask(wanted)
                next_fill = time.monotonic() + POLL_SECONDS
            present = self.kinds if queue and self._workers.idle else set()
            for actor in list(self._workers.idle) if queue else ():
                kind = actor.greeting.device
                if (job := self._take_job(queue, kinds, kind, present)) is not None:
                    yield self._hand_out(actor, job)
            for job, outcome in self._advance():
                finished = settle(job, outcome, attempts)
                queue.extend(finished.again)
                yield with_circumstances(finished)
                next_fill = 0.0 if outcome.failure else next_fill
            yield from self._workers.news
            self._workers.news.clear()

    def close(self) -> None:
        self._guard.stop()
        # Without its head both would block until Ray ends this process.
        if not self._workers.head.silent:
            with contextlib.suppress(Exception):
                self._workers.requests.withdraw()
            # Ray ends the process where another thread, at work beside this, frees a reference
            # while it shuts down; errors that Ray has raised hold theirs in cycles.
            gc.collect()
            with contextlib.suppress(Exception):
                self._ray.shutdown()

    def _take_job(
        self, queue: deque[Job], kinds: Kinds, kind: str, present: Collection[str]
    ) -> Job | None:
        """Take the first job off the queue that may be trained on a kind of device."""
        for place, job in enumerate(queue):
            if kinds.accepts(kind, job.cohort, present):
                del queue[place]
                kinds.begin(kind, job.cohort)
                return job
        return None

    def _hand_out(self, actor: Actor, job: Job) -> Started:
        self._workers.idle.remove(actor)
        deadline = None if job.limit is None else time.monotonic() + job.limit
        self._busy[actor.handle.train.remote(job)] = Busy(actor, job, deadline)
        return Started(job, self._workers.nodes.name(actor.node), actor.greeting.device)

    def _advance(self) -> list[tuple[Job, Outcome]]:
        """Wait a moment; return the jobs that came to an end, with their outcome."""
        working = [*self._busy, *self._dead]
        self._workers.settle_emptiness(bool(working))
        waiting = [*working, *self._workers.warming]
        if not waiting:
            time.sleep(POLL_SECONDS / 10)
            return []
        ended = []
        for reference in self._wait(waiting):
            if reference in self._workers.warming:
                self._workers.greet(reference)
            elif reference in self._dead:
                ended.append(self._bury(reference))
            else:
                ended += self._take(reference)
        return ended + self._overdue()

    def _wait(self, references: list[Any]) -> list[Any]:
        """Wait a moment; return those that are done. Raises RunError where the head stays away."""
        done, _ = self._ray.wait(references, timeout=POLL_SECONDS)
        if not done:
            self._workers.head_answers()
        return list(done)

    def _answer(self, reference: Any) -> Any:
        """Return a worker's answer; to wait for it in `get` is to be ended with a lost head."""
        while not self._wait([reference]):
            pass
        return self._ray.get(reference)

    def _take(self, reference: Any) -> list[tuple[Job, Outcome]]:
        """Return what came of a job; nothing yet if its dead worker's last words are awaited."""
        busy = self._busy.pop(reference)
        exceptions = self._ray.exceptions
        try:
            outcome = self._ray.get(reference)
        except (
            exceptions.ActorDiedError,
            exceptions.ActorUnavailableError,
            exceptions.ActorUnschedulableError,
        ) as error:
            where = f"on node {self._workers.nodes.name(busy.actor.node)}: {reason(error)}"
            return self._end(busy, Outcome(failure="lost", message=where))
        except exceptions.OutOfMemoryError as error:
            return self._end(busy, self._out_of_host_memory(busy.actor.node, error))
        except exceptions.RayError as error:
            return self._end(busy, Outcome(failure="error", message=str(error)))
        if outcome.failure == "unfit_node":
            self._workers.leave_out(busy.actor.node, outcome.message)
        self._workers.rest(busy.actor)
        return [(busy.job, outcome)]

    def _out_of_host_memory(self, node: str, error: Exception) -> Outcome:
        """Ray has ended a worker to save its node: whether by its own fault shows when alone."""
        if not any(busy.actor.node == node for busy in self._busy.values()):
            return Outcome(failure="out_of_memory", message=reason(error))
        nodes = self._workers.nodes
        nodes.withheld[node] += 1
        text = f"node {nodes.name(node)} is out of memory and gets a worker less"
        self._workers.news.append(Notice(text))
        return Outcome(failure="lost", message=f"its node ran out of memory: {reason(error)}")

    def _end(self, busy: Busy, outcome: Outcome) -> list[tuple[Job, Outcome]]:
        """End a worker that is dead or must be, and ask its node for what it wrote."""
        self._workers.drop(busy.actor)
        path, node = busy.actor.greeting.output, busy.actor.node
        reachable = node in self._workers.nodes.alive and self._workers.head_answers()
        if not path or not reachable:
            return [(busy.job, outcome)]
        options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": on_node(node)}
        read = self._ray.remote(last_words).options(**options).remote(path, busy.job.name)
        self._dead[read] = Dead(busy.job, outcome, time.monotonic() + LAST_WORDS_SECONDS)
        return []

    def _bury(self, reference: Any) -> tuple[Job, Outcome]:
        dead = self._dead.pop(reference)
        with contextlib.suppress(self._ray.exceptions.RayError):
            return dead.job, replace(dead.outcome, log=self._ray.get(reference))
        return dead.job, dead.outcome

    def _overdue(self) -> list[tuple[Job, Outcome]]:
        now = time.monotonic()
        ended = []
        late = [
            (reference, busy)
            for reference, busy in self._busy.items()
            if busy.deadline is not None and busy.deadline < now
        ]
        for reference, busy in late:
            # A result that is already there is taken, however late this loop comes to it.
            if not self._ray.wait([reference], timeout=0)[0]:
                del self._busy[reference]
                limit = f"the time limit of {busy.job.limit or 0:.0f} s was hit"
                ended += self._end(busy, Outcome(failure="timeout", message=limit))
        for reference, dead in list(self._dead.items()):
            if dead.deadline < now and not self._ray.wait([reference], timeout=0)[0]:
                del self._dead[reference]
                ended.append((dead.job, dead.outcome))
        return ended
