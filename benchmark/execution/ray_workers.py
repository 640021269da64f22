"""The actors of a run: as many as the nodes have room for, started, greeted, replaced, dropped."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.errors import RunError, UsageError
from benchmark.execution.jobs import Event, NodesSeen, Notice
from benchmark.execution.ray_actor import Greeting
from benchmark.execution.ray_connection import Head, first_line
from benchmark.execution.ray_nodes import Demand, Nodes
from benchmark.execution.ray_requests import Requests

WITHOUT_WORKERS_SECONDS = 300.0
"""Where every node of a cluster has left, others are waited for so long."""

_CHANGES = ("has joined", "has died or cannot be reached", "is about to leave: no more work for it")


@dataclass(frozen=True, eq=False)
class Actor:
    """A worker: its Ray handle, its node and, once it has begun, what it said of itself."""

    handle: Any
    node: str
    greeting: Greeting = field(default_factory=Greeting)


class Workers:
    """The actors on all nodes: `warming` by the reference of their greeting, then `idle`.

    `news` is what people should know, `error` what ended a worker last.
    """

    def __init__(self, ray: Any, demand: Demand, actor_class: type, requests: Requests) -> None:
        self.nodes = Nodes(ray, demand)
        self.requests = requests
        self.head = Head(ray.get_runtime_context().gcs_address)
        self.idle: list[Actor] = []
        self.warming: dict[Any, Actor] = {}
        self.news: list[Event] = []
        self.error = ""
        self._ray = ray
        self._demand = demand
        self._actor_class = actor_class
        self._present: Counter[str] = Counter()
        self._shown: Sequence[Mapping[str, Any]] = ()
        self._without_since: float | None = None
        self._ever_ready = False

    def head_answers(self) -> bool:
        """Whether the head does; where it ceases to, that is news. Raises RunError as Head does."""
        was_silent = self.head.silent
        answers = self.head.answers()
        if not answers and not was_silent:
            self.news.append(Notice("the head of the cluster does not answer; waiting for it"))
        return answers

    def fill(self) -> None:
        """Start the actors that the nodes which are there have room for; forget the others'.

        Raises RunError where the head stays away.
        """
        if not self.head_answers():
            return
        first = not self.nodes.alive
        for words, names in zip(_CHANGES, self.nodes.look(), strict=True):
            if not first:
                self.news += [Notice(f"node {name} {words}") for name in names]
        usable = self.nodes.usable
        for actor in [each for each in self.idle if each.node not in usable]:
            self.drop(actor)
        for node in usable:
            for _ in range(self.nodes.slots(node) - self._present[node]):
                self._start(node)
        shown = self.nodes.describe(self._present)
        if shown != self._shown:
            self._shown = shown
            self.news.append(NodesSeen(tuple(shown)))

    def greet(self, reference: Any) -> None:
        """Take in what a started actor says; raises nothing, whatever became of it."""
        actor = self.warming.pop(reference)
        try:
            greeting = self._ray.get(reference)
        except self._ray.exceptions.RayError as failure:
            greeting = Greeting(reason(failure))
        if greeting.error:
            self.error = greeting.error
            self.drop(actor)
            if self.nodes.started(actor.node, greeting.error):
                self.leave_out(actor.node, greeting.error)
        elif not self.nodes.wants(actor.node, greeting.device):
            self.nodes.withheld[actor.node] += 1
            self.drop(actor)
        else:
            self.nodes.started(actor.node, "")
            self._ever_ready = True
            self.rest(replace(actor, greeting=greeting))

    def rest(self, actor: Actor) -> None:
        """Let an actor wait for its next job, unless its node gets none any more."""
        if actor.node in self.nodes.usable:
            self.idle.append(actor)
        else:
            self.drop(actor)

    def drop(self, actor: Actor) -> None:
        """End an actor; its place is free."""
        self._present[actor.node] -= 1
        self.idle = [each for each in self.idle if each is not actor]
        if self.head_answers():
            with contextlib.suppress(Exception):
                self._ray.kill(actor.handle)

    def leave_out(self, node: str, why: str) -> None:
        """Give a node no more work."""
        self.error = why
        if node not in self.nodes.left_out:
            last = why.strip().splitlines()[-1]
            self.news.append(Notice(f"node {self.nodes.name(node)} gets no more work: {last}"))
        self.nodes.left_out[node] = why
        for actor in [each for each in self.idle if each.node == node]:
            self.drop(actor)

    def settle_emptiness(self, working: bool) -> None:
        """Wait for nodes where there is no worker at all.

        Raises UsageError where there never was one and none was asked for, RunError where none
        comes in time.
        """
        if working or self.idle:
            self._without_since = None
            return
        if self.warming:
            return
        self.fill()
        if self.warming:
            return
        if self.head.silent:
            # Which nodes there are is not known.
            time.sleep(1.0)
            return
        # A node that fails to start workers fails again; one that has gone may have a successor.
        unfit = any(node in self.nodes.alive for node in self.nodes.left_out)
        if not self._ever_ready and (unfit or not self.requests.patience):
            raise UsageError(self._none())
        patience = max(self.requests.patience, WITHOUT_WORKERS_SECONDS * self._ever_ready)
        now = time.monotonic()
        if self._without_since is None:
            self._without_since = now
            if not self._ever_ready:
                self.requests.announce()
            elif not unfit:
                self.news.append(Notice("no node is left; waiting for others"))
        if unfit or now - self._without_since > patience:
            waited = f" after {patience / 60:g} min" if self.requests.patience else ""
            raise RunError(f"{self._none()}{waited}. What is finished is kept; run again to go on")
        if not self._ever_ready:
            self.requests.ask(1)
        time.sleep(1.0)

    def _start(self, node: str) -> None:
        handle = (
            self._ray.remote(self._actor_class)
            .options(
                num_cpus=self._demand.settings.threads,
                num_gpus=self.nodes.gpus(node),
                max_restarts=0,
                scheduling_strategy=on_node(node),
            )
            .remote()
        )
        self._present[node] += 1
        self.warming[handle.ready.remote(self._demand.settings)] = Actor(handle, node)

    def _none(self) -> str:
        if self.error:
            return f"no worker could be started: {self.error}"
        none = f"no node of the Ray cluster has room for a worker of {self._demand}"
        if self.requests.patience:
            return none
        return f"{none}; where nodes come on demand, set execution.wait_for_nodes_minutes"


def on_node(node: str) -> Any:
    """Return Ray's strategy that puts an actor or a task on a node and nowhere else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def reason(error: BaseException) -> str:
    """Return in one line what Ray says of a dead actor, without its advice."""
    lines = [line.strip() for line in str(error).splitlines()]
    for line in lines:
        if line.startswith("The actor is dead because"):
            return line.partition("Some common causes")[0].strip()
        if "Error: " in line or line.startswith("Task was killed"):
            return line
    return first_line(error)
