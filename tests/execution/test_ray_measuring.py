"""Measuring cells on a pool: every worker that there is takes part; with a fake Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.errors import RunError
from benchmark.execution import ray_pool
from benchmark.execution.jobs import Settings
from benchmark.execution.ray_actor import Greeting
from benchmark.execution.ray_pool import RayExecutor
from benchmark.execution.ray_workers import Actor
from benchmark.grid import Cohort
from benchmark.training.speed import Throughput
from tests.conftest import make_cell, make_cohort
from tests.execution.clusters import free_port

CELLS = [make_cohort(("timm", 0), cell=make_cell(epochs=epochs)) for epochs in (1, 2, 3)]


@dataclass(eq=False)
class Reference:
    """A reference, and what Ray's get makes of it."""

    gives: Any


@dataclass
class FakeRay:
    """Of the references waited for, the one that `ending` names ends; who was `asked` for what."""

    ending: Callable[[list[Reference]], Reference]
    asked: list[tuple[str, int]] = field(default_factory=list)
    exceptions = SimpleNamespace(RayError=OSError)

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=f"127.0.0.1:{free_port()}")

    def wait(
        self, references: list[Reference], timeout: float
    ) -> tuple[list[Reference], list[Reference]]:
        return [self.ending(references)], []

    def get(self, reference: Reference) -> Any:
        if isinstance(reference.gives, Exception):
            raise reference.gives
        return reference.gives

    def worker(self, name: str, dies: bool = False) -> Actor:
        def measure(cohort: Cohort) -> Reference:
            epochs = cohort.cell.recipe.epochs
            self.asked.append((name, epochs))
            return Reference(OSError("it died") if dies else Throughput({1: float(epochs)}))

        return Actor(SimpleNamespace(measure=SimpleNamespace(remote=measure)), "node")


def pool(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> RayExecutor:
    monkeypatch.setattr(ray_pool, "connect", lambda address, workers: ray)
    monkeypatch.setattr(ray_pool, "Guard", lambda address: None)
    executor = RayExecutor(Settings(device="cpu"))
    workers = executor._workers
    monkeypatch.setattr(workers, "fill", lambda: None)
    monkeypatch.setattr(workers, "rest", lambda actor: workers.idle.append(actor))
    monkeypatch.setattr(workers.nodes, "wants", lambda node, device: True)
    return executor


def test_a_worker_that_begins_while_others_measure_takes_a_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = FakeRay(ending=lambda references: references[-1])
    executor = pool(ray, monkeypatch)
    executor._workers.idle.append(ray.worker("early"))
    executor._workers.warming[Reference(Greeting(device="cpu"))] = ray.worker("late")
    found = executor.measure(CELLS)
    assert [each.seconds for each in found] == [{1: 1.0}, {1: 2.0}, {1: 3.0}]
    # The late one answers first, so that it takes what is left.
    assert ray.asked == [("early", 1), ("late", 2), ("late", 3)]
    assert [actor.greeting.device for actor in executor._workers.idle] == ["cpu", ""]


def test_a_cell_that_a_worker_dies_of_is_measured_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = FakeRay(ending=lambda references: references[0])
    executor = pool(ray, monkeypatch)
    executor._workers.idle += [ray.worker("dying", dies=True), ray.worker("sound")]
    found = executor.measure(CELLS[:2])
    assert [each.seconds for each in found] == [{1: 1.0}, {1: 2.0}]
    assert ray.asked == [("dying", 1), ("sound", 2), ("sound", 1)]


def test_a_cell_that_every_worker_dies_of_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(ending=lambda references: references[0])
    executor = pool(ray, monkeypatch)
    executor._workers.idle += [ray.worker(f"dying {at}", dies=True) for at in range(9)]
    with pytest.raises(RunError, match="workers that measured the cells ended: .*it died"):
        executor.measure(CELLS[:1])
    assert len(ray.asked) == ray_pool.TRIES
