"""A head that is silent from the first, or falls silent before training: with a fake Ray."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.errors import RunError
from benchmark.execution import ray_connection, ray_pool
from benchmark.execution.jobs import Notice, Settings
from benchmark.execution.ray_pool import RayExecutor
from benchmark.execution.ray_workers import Actor
from tests.conftest import make_cohort
from tests.execution.clusters import free_port

QUESTIONS: dict[str, Callable[[RayExecutor], Any]] = {
    "check": lambda executor: executor.check([make_cohort(("timm", 0)).cell]),
    "measure": lambda executor: executor.measure([make_cohort(("timm", 0))]),
}


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> RayExecutor:
    """A pool on a cluster whose head answers no more."""

    def get(reference: object) -> object:
        raise AssertionError("Ray's get blocks without its head")

    address = f"127.0.0.1:{free_port()}"
    ray = SimpleNamespace(
        get_runtime_context=lambda: SimpleNamespace(gcs_address=address),
        wait=lambda references, timeout: ([], references),
        get=get,
        exceptions=SimpleNamespace(RayError=OSError),
    )
    monkeypatch.setattr(ray_pool, "connect", lambda address, workers: ray)
    # It would end the tests.
    monkeypatch.setattr(ray_pool, "Guard", lambda address: None)
    return RayExecutor(Settings(device="cpu"))


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_to_workers_ends_with_an_error_when_the_head_stays_away(
    executor: RayExecutor, question: Callable[[RayExecutor], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = SimpleNamespace(remote=lambda argument: "an answer that does not come")
    executor._workers.idle.append(Actor(SimpleNamespace(check=asked, measure=asked), "a"))
    monkeypatch.setattr(ray_connection, "HEAD_SECONDS", 0.0)
    with pytest.raises(RunError, match="the head of the Ray cluster at .* has not answered"):
        question(executor)


def test_a_head_that_misses_the_first_probe_is_waited_for_rather_than_taken_for_a_full_cluster(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(sleep=lambda seconds: None)
    monkeypatch.setattr("benchmark.execution.ray_workers.time", clock)
    workers = executor._workers
    assert not workers.nodes.alive
    workers.settle_emptiness(working=False)
    silent = Notice("the head of the cluster does not answer; waiting for it")
    assert workers.news == [silent]
