"""Workers and nodes that die, hang, fill up or come late, on a cluster of several nodes."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UsageError
from benchmark.execution.jobs import Event, Finished, Job, Notice, Settings, Started
from benchmark.execution.ray_pool import RayExecutor
from tests.conftest import make_cell, make_cohort
from tests.execution import faulty
from tests.execution.faulty import FaultyActor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FAST_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
Pool = Callable[..., RayExecutor]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without workers and a node with two that stays; tests add others."""
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "_system_config": FAST_HEALTH_CHECKS,
        },
    )
    made.add_node(num_cpus=2)
    yield made
    with contextlib.suppress(Exception):
        made.shutdown()


@pytest.fixture
def pool(cluster: Any, tmp_path: Path) -> Iterator[Pool]:
    made: list[RayExecutor] = []

    def make(**options: Any) -> RayExecutor:
        import ray

        # A node of an earlier test counts as alive until it has missed some health checks.
        cluster.wait_for_nodes(timeout=60)
        settings = Settings(device=options.pop("device", "cpu"), data_dir=str(tmp_path))
        ray.cloudpickle.register_pickle_by_value(faulty)
        made.append(
            RayExecutor(settings, address=cluster.address, actor_class=FaultyActor, **options)
        )
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def jobs(*seeds: int) -> list[Job]:
    return [Job(make_cohort(("timm", seed)), limit=600) for seed in seeds]


def statuses(events: Sequence[Event]) -> dict[int, str]:
    ended = [event for event in events if isinstance(event, Finished)]
    records = [record for event in ended for record in event.records]
    assert len({record.seed for record in records}) == len(records)
    return {record.seed: record.status for record in records}


def notices(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def test_faults_end_in_their_status_with_a_log_and_cost_nobody_else(pool: Pool) -> None:
    seeds = [faulty.DIES_ONCE, faulty.DIES, faulty.RAISES, faulty.DIES_RETURNING, faulty.SHOUTS]
    queue = jobs(*seeds, *range(20, 24))
    hanging = [faulty.HANGS, faulty.HANGS_WITH_LOCK]
    queue += [Job(make_cohort(("timm", seed)), limit=2.0) for seed in hanging]
    events = list(pool().run(queue, attempts=2, begun={}))
    assert statuses(events) == {
        **dict.fromkeys([faulty.DIES_ONCE, faulty.DIES_RETURNING, *range(20, 24)], "ok"),
        **dict.fromkeys([faulty.DIES, faulty.SHOUTS], "lost"),
        **dict.fromkeys(hanging, "timeout"),
        faulty.RAISES: "error",
    }
    logs: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, Finished) and event.note:
            logs.setdefault(event.job.cohort.trials[0].seed, []).append(event.log)
    assert "OddError" in logs[faulty.RAISES][0]
    for seed in (faulty.DIES_ONCE, faulty.DIES, *hanging):
        for log in logs[seed]:
            assert f"training [{seed}]" in log
    assert len(logs[faulty.DIES]) == 2
    assert 60_000 < len(logs[faulty.SHOUTS][0]) < 300_000


def own_workers() -> list[int]:
    """Return the process ids of the actors of the Ray that this process has started."""
    parents, actors = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if b"Actor" in (entry / "cmdline").read_bytes():
                actors.append(int(entry.name))

    def is_own(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return [actor for actor in actors if is_own(actor)]


def test_killed_workers_are_replaced(pool: Pool, tmp_path: Path) -> None:
    events: list[Event] = []
    killed: list[int] = []
    for event in pool().run(jobs(faulty.HANGS_ONCE, *range(20, 30)), attempts=3, begun={}):
        if (tmp_path / "hung").exists() and not killed:
            killed = own_workers()
            for worker in killed:
                os.kill(worker, signal.SIGKILL)
        events.append(event)
    assert len(killed) == 2
    assert statuses(events) == dict.fromkeys([faulty.HANGS_ONCE, *range(20, 30)], "ok")
    notes = [event.note for event in events if isinstance(event, Finished) and event.note]
    assert any(note.startswith("lost, tried again") for note in notes)


def test_a_worker_killed_while_it_starts_is_replaced_and_its_node_kept(
    cluster: Any, pool: Pool, tmp_path: Path
) -> None:
    nodes = [node.node_id for node in cluster.list_all_nodes()]
    (tmp_path / "dies-starting-at-fault").write_text(" ".join(nodes), encoding="utf-8")
    events = list(pool().run(jobs(*range(20, 24)), attempts=2, begun={}))
    assert (tmp_path / "died-starting").exists()
    assert statuses(events) == dict.fromkeys(range(20, 24), "ok")
    assert notices(events) == []


def test_a_clock_that_jumps_by_hours_ends_no_trial_and_lets_no_worker_hang(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hours = time.time, itertools.cycle((5, -5))
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * next(hours))
    queue = [*jobs(*range(20, 24)), Job(make_cohort(("timm", faulty.HANGS)), limit=1.0)]
    events = list(pool().run(queue, attempts=1, begun={}))
    assert statuses(events) == {**dict.fromkeys(range(20, 24), "ok"), faulty.HANGS: "timeout"}


def test_workers_that_cannot_start_say_why(cluster: Any, pool: Pool, tmp_path: Path) -> None:
    nodes = [node.node_id for node in cluster.list_all_nodes()]
    (tmp_path / "start-at-fault").write_text(" ".join(nodes), encoding="utf-8")
    with pytest.raises(UsageError, match="no worker could be started: the driver of the GPU"):
        pool().check([make_cell()])


def test_a_cluster_without_room_says_so(pool: Pool) -> None:
    with pytest.raises(UsageError, match="no node of the Ray cluster has room.*1 GPUs"):
        pool(device="cuda").check([make_cell()])


def test_a_killed_node_a_frozen_one_and_one_that_joins_lose_nothing(
    cluster: Any, pool: Pool
) -> None:
    doomed, frozen = cluster.add_node(num_cpus=2), cluster.add_node(num_cpus=2)
    executor = pool()
    raylet = frozen.all_processes["raylet"][0].process.pid
    queue = jobs(*range(20, 80))
    events: list[Event] = []
    changed = 0
    try:
        for event in executor.run(queue, attempts=5, begun={}):
            events.append(event)
            done = sum(isinstance(each, Finished) for each in events)
            if done >= 10 * (changed + 1):
                changed += 1
                if changed == 1:
                    doomed.all_processes["raylet"][0].process.kill()
                if changed == 2:
                    os.kill(raylet, signal.SIGSTOP)
                if changed == 3:
                    queue_before_joining = len(events)
                    late = cluster.add_node(num_cpus=1)
    finally:
        os.kill(raylet, signal.SIGKILL)
        for node in (doomed, frozen, late):
            cluster.remove_node(node, allow_graceful=False)
    assert statuses(events) == dict.fromkeys(range(20, 80), "ok")
    told = notices(events)
    assert sum("died or cannot be reached" in text for text in told) >= 1
    assert any("has joined" in text for text in told)
    assert queue_before_joining < len(events)


def test_a_node_that_is_about_to_leave_gets_no_new_work(cluster: Any, pool: Pool) -> None:
    import ray
    from ray.core.generated import autoscaler_pb2

    leaving = cluster.add_node(num_cpus=2)
    executor = pool()
    events: list[Event] = []
    started: list[int] = []
    for event in executor.run(jobs(*range(20, 140)), attempts=3, begun={}):
        events.append(event)
        if isinstance(event, Notice) and "about to leave" in event.text:
            started.append(len(executor_workers(executor, leaving.node_id)))
        if len(events) == 10:
            client = ray._raylet.GcsClient(address=cluster.address)
            reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
            far = 2**60
            assert client.drain_node(leaving.node_id, reason, "spot", far)[0]
    cluster.remove_node(leaving, allow_graceful=False)
    assert statuses(events) == dict.fromkeys(range(20, 140), "ok")
    assert started == [0]


def executor_workers(executor: RayExecutor, node: str) -> list[Any]:
    """Return the workers of a node that wait for work."""
    return [actor for actor in executor._workers.idle if actor.node == node]


@pytest.mark.parametrize("fault", ["data", "start"])
def test_a_node_that_is_not_fit_is_left_out_and_named(
    cluster: Any, pool: Pool, tmp_path: Path, fault: str
) -> None:
    unfit = cluster.add_node(num_cpus=2)
    (tmp_path / f"{fault}-at-fault").write_text(unfit.node_id, encoding="utf-8")
    events = list(pool().run(jobs(*range(20, 40)), attempts=2, begun={}))
    cluster.remove_node(unfit, allow_graceful=False)
    assert statuses(events) == dict.fromkeys(range(20, 40), "ok")
    (line,) = [text for text in notices(events) if "gets no more work" in text]
    assert line.endswith("corrupt" if fault == "data" else "too old")


def test_gpus_are_shared_and_a_kind_can_be_demanded(cluster: Any, pool: Pool) -> None:
    kinds = {"accelerator_type:H100": 1, "accelerator_type:A100": 1}
    nodes = [
        cluster.add_node(num_cpus=4, num_gpus=2, resources={kind: count})
        for kind, count in kinds.items()
    ]
    executor = pool(device="cuda", gpus_per_worker=0.5, devices=["H100"])
    assert executor.workers == 4
    events = list(executor.run(jobs(*range(20, 40)), attempts=2, begun={}))
    for node in nodes:
        cluster.remove_node(node, allow_graceful=False)
    assert statuses(events) == dict.fromkeys(range(20, 40), "ok")
    used = {event.device for event in events if isinstance(event, Started)}
    assert used == {"0", "1"}
