"""The pool on a real local Ray: same bytes as inline, and what dies is replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from benchmark.config import load_config
from benchmark.errors import UsageError
from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import Event, Finished, Job, Outcome, Settings, Started
from benchmark.execution.ray_pool import RayExecutor
from benchmark.execution.run import train_missing
from benchmark.grid import expand
from benchmark.results.store import open_store
from benchmark.trial import Cell, Record
from tests.conftest import make_cell, make_cohort

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WriteConfig = Callable[..., Path]
CPU = Settings(device="cpu")


class OddError(Exception):
    """Cannot be unpickled: its constructor takes other arguments than it keeps."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__(first)


class FaultyActor:
    """Stands in for the real actor, which takes seconds to load torch: faults by learning rate."""

    def ready(self, settings: Settings) -> str:
        return settings.data_dir or ""

    def check(self, cells: Sequence[Cell]) -> list[str]:
        return []

    def train(self, job: Job) -> Outcome:
        fault = {1: "die once", 2: "die", 3: "hang", 4: "raise"}
        for trial in job.cohort.trials:
            match fault.get(trial.seed):
                case "die once" if job.attempts == 0:
                    os._exit(7)
                case "die":
                    os._exit(7)
                case "hang":
                    time.sleep(600)
                case "raise":
                    raise OddError(1, 2)
        time.sleep(0.2)
        return Outcome(tuple(Record.of(trial, "ok", accuracy=0.5) for trial in job.cohort.trials))


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


def statuses(events: Sequence[Event]) -> dict[int, str]:
    ended = [event for event in events if isinstance(event, Finished)]
    records = [record for event in ended for record in event.records]
    assert len({record.seed for record in records}) == len(records)
    return {record.seed: record.status for record in records}


@pytest.fixture
def pool() -> Iterator[Callable[..., RayExecutor]]:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    made: list[RayExecutor] = []

    def make(settings: Settings = CPU, **options: object) -> RayExecutor:
        made.append(RayExecutor(settings, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for executor in made:
        executor.close()
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_ray_gives_the_bytes_of_inline_and_prints_nothing(
    write_config: WriteConfig,
    tmp_path: Path,
    pool: Callable[..., RayExecutor],
    capfd: pytest.CaptureFixture[str],
) -> None:
    grid = expand(load_config(write_config(), ["execution.cohort_size=2"]))
    results = []
    for name, make in (("inline", lambda: InlineExecutor(CPU)), ("ray", pool)):
        with open_store(str(tmp_path / name)) as store:
            assert train_missing(grid, store, make).failed == 0
            results.append(
                {
                    trial: (record.accuracy, record.test_loss, record.curves["train_loss"])
                    for trial, record in store.records.items()
                }
            )
    assert results[0] == results[1]
    assert capfd.readouterr() == ("", "")


def test_faults_end_in_their_status_and_cost_nobody_else(pool: Callable[..., RayExecutor]) -> None:
    cohorts = [make_cohort(("timm", fault), ("timm", 10 + fault)) for fault in range(5)]
    executor = pool(time_limit=2.0, actor_class=FaultyActor)
    events = list(executor.run([Job(cohort) for cohort in cohorts], attempts=3))
    assert statuses(events) == {
        **dict.fromkeys([0, 1, 10, 11, 12, 13], "ok"),
        2: "lost",
        3: "timeout",
        **dict.fromkeys([4, 14], "error"),
    }
    records = {
        record.seed: record
        for event in events
        if isinstance(event, Finished)
        for record in event.records
    }
    assert records[1].provenance["attempt"] == 2
    assert records[2].provenance["attempt"] == 3
    assert "OddError" in records[4].message


def test_a_killed_worker_is_replaced(pool: Callable[..., RayExecutor]) -> None:
    executor = pool(workers_per_node=1, actor_class=FaultyActor)
    jobs = [Job(make_cohort(("timm", seed))) for seed in range(20, 26)]
    events: list[Event] = []
    for event in executor.run(jobs, attempts=3):
        if isinstance(event, Started) and not events:
            (worker,) = own_workers()
            os.kill(worker, signal.SIGKILL)
        events.append(event)
    assert statuses(events) == dict.fromkeys(range(20, 26), "ok")
    assert [event.note for event in events if isinstance(event, Finished)].count("") == 6


def test_a_worker_that_cannot_start_says_why(pool: Callable[..., RayExecutor]) -> None:
    executor = pool(Settings(device="cpu", data_dir="no such thing"), actor_class=FaultyActor)
    with pytest.raises(UsageError, match="no worker could be started: no such thing"):
        executor.check([make_cell()])


def test_a_cluster_without_room_says_so(pool: Callable[..., RayExecutor]) -> None:
    executor = pool(Settings(device="cuda"))
    with pytest.raises(UsageError, match="no node of the Ray cluster has room.*1 GPUs"):
        executor.check([make_cell()])
